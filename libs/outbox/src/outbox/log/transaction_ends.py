"""Whether a statement would end the transaction that it runs in, or change it for what follows.

PostgreSQL 18, "SQL Commands": COMMIT, END, ROLLBACK, ABORT and PREPARE TRANSACTION end one;
SAVEPOINT, RELEASE and ROLLBACK TO do not.
"""

from __future__ import annotations

import re
from functools import lru_cache

CACHED = 4096
"""Characters; longer statements rarely repeat."""

_NOT_CODE = re.compile(
    r"""--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|\$(\w*)\$.*?\$\1\$""", re.DOTALL
)
_TO = r"ROLLBACK(?:\s+(?:WORK|TRANSACTION))?\s+TO\b"
_ENDS = re.compile(rf"\s*(?:COMMIT|END|ABORT|(?!{_TO})ROLLBACK|PREPARE\s+TRAN\w*)\b", re.IGNORECASE)
_SAVEPOINT = re.compile(rf"\s*(?:SAVEPOINT|RELEASE|({_TO}))\b", re.IGNORECASE)
_SETS = re.compile(r"\s*(?:SET|RESET)\b|.*\bset_config\s*\(", re.IGNORECASE | re.DOTALL)
_ABOUT = (_ENDS, _SAVEPOINT, _SETS)


def ends_transaction(statement: str) -> bool:
    """Whether one of the statements in this text does. Comments and literals do not count."""
    return _ends(statement) if len(statement) <= CACHED else _search(statement, _ENDS)


def is_about_transaction(statement: str) -> bool:
    """Whether it ends the transaction, sets or takes back a savepoint, or sets a parameter."""
    return _is_about(statement) if len(statement) <= CACHED else _search(statement, *_ABOUT)


def about_savepoint(statement: str) -> str | None:
    """`"to"` for ROLLBACK TO, `"set"` for SAVEPOINT and RELEASE, None for other statements."""
    return _savepoint(statement) if len(statement) <= CACHED else None


@lru_cache(maxsize=2048)
def _ends(statement: str) -> bool:
    return _search(statement, _ENDS)


@lru_cache(maxsize=2048)
def _is_about(statement: str) -> bool:
    return _search(statement, *_ABOUT)


def _search(statement: str, *wanted: re.Pattern[str]) -> bool:
    statements = _NOT_CODE.sub(" ", statement).split(";")
    return any(pattern.match(one) for one in statements for pattern in wanted)


@lru_cache(maxsize=2048)
def _savepoint(statement: str) -> str | None:
    found = _SAVEPOINT.match(_NOT_CODE.sub(" ", statement))
    return None if found is None else "to" if found[1] else "set"

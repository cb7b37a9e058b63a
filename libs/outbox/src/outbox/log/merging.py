"""Makes one statement of several that only add events: the answers of a batch are one statement.

Invariant: the events keep their order, and each keeps its own cause and trace.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

from outbox.log.statements import ROWS

Statement = tuple[str, Mapping[str, Any]]

# What `UnitOfWork.emit` sends begins with one of these. What `write` sends begins with its tables.
_ONLY_EVENTS = re.compile(r"WITH \noutbox_(?:stream|given) AS \(")
_TABLE = re.compile(r"\bINTO (outbox|outbox_streams)\b")
_PREFIX = re.compile(r"INSERT INTO (.*)outbox_streams AS s \(")


def merged(statements: Iterable[Statement]) -> list[Statement]:
    """The same statements, of which neighbours that only add events are one."""
    result: list[Statement] = []
    for many, group in groupby(statements, key=lambda one: adding_many(one[0])):
        run = list(group)
        if many is None or len(run) == 1:
            result += run
        else:
            result.append((many, _as_columns([parameters for _, parameters in run])))
    return result


@lru_cache(maxsize=64)
def adding_many(statement: str) -> str | None:
    """The statement that adds many events where this one adds some; None if it does more."""
    prefix = _PREFIX.search(statement) if _ONLY_EVENTS.match(statement) else None
    if prefix is None:
        return None
    return f"WITH {_TABLE.sub(lambda found: f'INTO {prefix[1]}{found[1]}', ROWS)} SELECT 1"


def _as_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The parameters of several statements as those of one. All have the same source."""
    columns: dict[str, Any] = {}
    for name, value in rows[0].items():
        if name == "outbox_source":
            columns[name] = value
        else:
            columns[name] = [one for row in rows for one in _listed(row[name])]
    return columns


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

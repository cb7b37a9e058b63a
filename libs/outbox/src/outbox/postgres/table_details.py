"""What a table of the library needs besides its SQLAlchemy declaration, done when it is created.

A table may be created by `metadata.create_all`, by `outbox.schema`, or by the `op.create_table` of
a migration that Alembic wrote, which makes a `Table` of its own. So the listener is on the class
`Table` and recognises the library's tables by their comment. The comment of a group's first table
holds the version too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Table, event, text
from sqlalchemy.dialects.postgresql import dialect

MARK = "outbox-rabbitmq"  # see decision 1101
DEFAULT_LANES = 16

Completes = Callable[[str], str]
"""From a table's name, quoted and with its schema, to the statement that completes it."""
_completes: dict[str, Completes] = {}
_quoting = dialect().identifier_preparer  # type: ignore[no-untyped-call]


def comment(version: int | None = None) -> str:
    """The comment of a table of the library; with the version on the first of a group."""
    return MARK if version is None else f"{MARK} {version}"


def version_in(comment: str | None) -> int | None:
    """The version in a comment of the library, or None."""
    found = re.fullmatch(rf"{MARK} (\d{{1,9}})", comment or "", re.ASCII)
    return int(found[1]) if found else None


def prefix(schema: str | None) -> str:
    """The schema before a table's name, quoted where necessary, with a dot; or nothing."""
    return "" if schema is None else f"{_quoting.quote(schema)}."


def completed_by(table: str, statement: Completes) -> None:
    """Run the statement after the library's table of this name was created."""
    _completes[table] = statement


def room_for_updates(name: str) -> str:
    """Leave room in each page for a row's next version, so that an update touches no index."""
    return f"ALTER TABLE {name} SET (fillfactor = 70)"


@event.listens_for(Table, "after_create")
def _complete(table: Table, connection: Connection | None, **_: Any) -> None:
    statement = _completes.get(table.name)
    if statement is None or not (table.comment or "").startswith(MARK):
        return
    sql = text(statement(_quoting.format_table(table)))
    if connection is not None:
        connection.execute(sql)
    else:  # Alembic writes a script (`upgrade --sql`)
        from alembic import op

        op.execute(sql)

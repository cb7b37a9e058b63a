"""The library's tables in your database: made and upgraded by your migrations, checked at start.

def upgrade() -> None:
    outbox.schema.create_outbox(op)
    outbox.schema.create_inbox(op)
    outbox.schema.create_jobs(op)

There are three groups of tables, `outbox`, `inbox` and `jobs`. A group's version is in the comment
of its first table. A database that is ahead of the code is fine: an upgrade only adds.

`to` is `alembic.op`, which can write a script too (`alembic upgrade --sql`), or a SQLAlchemy
`Connection`. `schema` is the PostgreSQL schema, if it is not the first of the search path.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from sqlalchemy import Executable, text

from outbox.errors import SchemaBehind
from outbox.inbox.tables import INBOX_TABLES
from outbox.jobs.tables import JOB_TABLES
from outbox.log.tables import OUTBOX_TABLES
from outbox.postgres import table_groups
from outbox.postgres.table_details import DEFAULT_LANES, prefix
from outbox.postgres.table_groups import Connection

__all__ = [
    "DEFAULT_LANES",
    "SchemaBehind",
    "check",
    "create_inbox",
    "create_jobs",
    "create_outbox",
    "drop_inbox",
    "drop_jobs",
    "drop_outbox",
    "upgrade",
]


GROUPS = {group.name: group for group in (OUTBOX_TABLES, INBOX_TABLES, JOB_TABLES)}


class Executes(Protocol):
    """`alembic.op` or a `sqlalchemy.Connection`."""

    def execute(self, statement: Executable, /) -> Any:
        """Run a statement, or write it to a script."""


def create_outbox(to: Executes, *, lanes: int = DEFAULT_LANES, schema: str | None = None) -> None:
    """Create the outbox table with its first partitions, the stream counters and the settings row.

    `lanes` is how many relays can share the work; it is kept in the database.
    """
    settings = f"{prefix(schema)}outbox_settings"
    _run(to, GROUPS["outbox"].create_statements(schema))
    _run(to, [text(f"UPDATE {settings} SET lanes = {lanes:d}")])  # noqa: S608


def create_inbox(to: Executes, *, schema: str | None = None) -> None:
    """Create the tables that a consumer needs."""
    _run(to, GROUPS["inbox"].create_statements(schema))


def create_jobs(to: Executes, *, schema: str | None = None) -> None:
    """Create the table of jobs, for calls to the outside."""
    _run(to, GROUPS["jobs"].create_statements(schema))


def drop_outbox(to: Executes, *, schema: str | None = None) -> None:
    """Undo `create_outbox`, with all events."""
    _run(to, GROUPS["outbox"].drop_statements(schema))


def drop_inbox(to: Executes, *, schema: str | None = None) -> None:
    """Undo `create_inbox`."""
    _run(to, GROUPS["inbox"].drop_statements(schema))


def drop_jobs(to: Executes, *, schema: str | None = None) -> None:
    """Undo `create_jobs`, with all jobs."""
    _run(to, GROUPS["jobs"].drop_statements(schema))


def upgrade(to: Executes, group: str, *, version: int, schema: str | None = None) -> None:
    """Bring a group of tables (outbox, inbox, jobs) from any earlier version to this one.

    Does nothing where a later release has created the tables in their newest form, so that old
    migrations can run on an empty database at any time.
    """
    _run(to, GROUPS[group].upgrade_statements(1, version, schema))


async def check(connection: Connection, groups: Iterable[str]) -> None:
    """Raise `SchemaBehind` unless this code can work with these groups: outbox, inbox, jobs.

    One round trip for each group. Tables that are ahead of this code are accepted.
    """
    await table_groups.check(connection, [GROUPS[group] for group in groups])


def _run(to: Executes | None, statements: Iterable[Executable]) -> None:
    if to is None:  # `op.get_bind()` where Alembic writes a script
        from alembic import op

        to = op
    for statement in statements:
        to.execute(statement)

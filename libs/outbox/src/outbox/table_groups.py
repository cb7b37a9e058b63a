"""The library's tables in three groups, and the statements that make and upgrade each.

To change a table in a later release: change its declaration, and append to the `STEPS` of its
module what brings the version before to this one. A step is a list of SQL statements that do
nothing the second time (`ADD COLUMN IF NOT EXISTS`, `CREATE INDEX IF NOT EXISTS`), with
`{schema}` before each name. It only adds, so that the release before can run beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import Executable, MetaData, create_mock_engine, text

from outbox.inbox import tables as inbox_tables
from outbox.jobs import tables as jobs_tables
from outbox.log import tables as outbox_tables
from outbox.postgres.table_details import MARK, comment, prefix


@dataclass(frozen=True, slots=True)
class Group:
    """Tables that are made and upgraded together."""

    name: str
    table: str
    """The first one, whose comment has the version."""
    declare: Callable[[MetaData], None]
    steps: Sequence[Sequence[str]]
    """From version 1 to 2, from 2 to 3 and so on."""

    @property
    def version(self) -> int:
        """The version that this code wants."""
        return 1 + len(self.steps)

    @property
    def tables(self) -> list[str]:
        """All of them, by name."""
        metadata = MetaData()
        self.declare(metadata)
        return sorted(metadata.tables)


GROUPS = {
    group.name: group
    for group in (
        Group("outbox", "outbox", outbox_tables.declare_outbox, outbox_tables.STEPS),
        Group("inbox", "inbox", inbox_tables.declare_inbox, inbox_tables.STEPS),
        Group("jobs", "outbox_jobs", jobs_tables.declare_jobs, jobs_tables.STEPS),
    )
}


def create_statements(
    group: str, schema: str | None = None, *, only: Collection[str] | None = None
) -> list[Executable]:
    """What makes a group of tables, or `only` these of them, in its newest version."""
    return _collect(group, schema, MetaData.create_all, only)


def drop_statements(group: str, schema: str | None = None) -> list[Executable]:
    """What drops a group of tables, with all that is in them."""
    return _collect(group, schema, MetaData.drop_all)


def upgrade_statements(
    group: str, found: int, version: int, schema: str | None = None
) -> list[Executable]:
    """What brings a group from the version found to another. Raises ValueError if there is none."""
    there, statements = GROUPS[group], list[str]()
    if not 1 <= version <= there.version:
        raise ValueError(f"{group} has no version {version}, the newest is {there.version}")
    for number in range(found + 1, version + 1):
        step = () if number == 1 else there.steps[number - 2]
        statements += [statement.format(schema=prefix(schema)) for statement in step]
        statements.append(_say_version(there, number, schema))
    return [text(statement) for statement in statements]


def _say_version(group: Group, version: int, schema: str | None) -> str:
    """Unless a later one is there: a history of migrations may run on tables of a later release."""
    table = f"{prefix(schema)}{group.table}"
    return f"""
DO $$ BEGIN
  IF coalesce(substring(obj_description('{table}'::regclass, 'pg_class')
                        FROM '^{MARK} ([0-9]+)$')::int, 0) < {version} THEN
    COMMENT ON TABLE {table} IS '{comment(version)}';
  END IF;
END $$"""


def _collect(
    group: str,
    schema: str | None,
    how: Callable[..., None],
    only: Collection[str] | None = None,
) -> list[Executable]:
    metadata, statements = MetaData(schema=schema), list[Executable]()
    GROUPS[group].declare(metadata)
    tables = [table for table in metadata.sorted_tables if only is None or table.name in only]
    engine = create_mock_engine(
        "postgresql+psycopg://", lambda statement, *_, **__: statements.append(statement)
    )
    how(metadata, engine, tables=tables, checkfirst=False)
    return statements

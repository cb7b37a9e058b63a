"""The library's tables come in groups; a group can make, upgrade and find its tables in a database.

To change a table in a later release, change its declaration and append a step to the `STEPS` of its
module, which brings the version before to the new one. A step is a list of SQL statements that do
nothing the second time (`ADD COLUMN IF NOT EXISTS`, `CREATE INDEX IF NOT EXISTS`), with
`{schema}` before each name. A step only adds, so that the release before can run beside it.

All groups share one table, `outbox_operations_log`: whichever comes first makes it, and whichever
goes last drops it (decision 1901).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Executable, MetaData, create_mock_engine, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.schema import CreateTable, SetTableComment

from outbox.errors import SchemaBehind
from outbox.postgres.operations_log import TABLE as SHARED
from outbox.postgres.table_details import MARK, comment, prefix, version_in

Connection = AsyncConnection | psycopg.AsyncConnection[Any]

# The search path may lead to tables of these names in several schemas: only the schema of the
# first table counts.
_FIND = """
SELECT name, c.oid IS NOT NULL, obj_description(c.oid, 'pg_class')
  FROM unnest(ARRAY[{names}]) AS name
  LEFT JOIN pg_class c ON c.relname = name AND c.relnamespace
       = (SELECT relnamespace FROM pg_class WHERE oid = coalesce({oids}))
"""
# The first tables of the groups: the shared table goes with the last of them.
_DROP_SHARED = """
DO $$ BEGIN
  IF coalesce(to_regclass('{schema}outbox'), to_regclass('{schema}inbox'),
              to_regclass('{schema}outbox_jobs')) IS NULL THEN
    DROP TABLE IF EXISTS {schema}{shared};
  END IF;
END $$"""
_PRINTS = "`outbox schema` prints"


@dataclass(frozen=True, slots=True)
class TableGroup:
    """Tables that are made and upgraded together."""

    name: str
    table: str
    """The first table; its comment holds the version."""
    declare: Callable[[MetaData], None]
    steps: Sequence[Sequence[str]]
    """From version 1 to 2, from 2 to 3 and so on."""

    @property
    def version(self) -> int:
        """The version that this code wants."""
        return 1 + len(self.steps)

    @property
    def tables(self) -> list[str]:
        """The names of all tables of the group."""
        metadata = MetaData()
        self.declare(metadata)
        return sorted(metadata.tables)

    def create_statements(
        self, schema: str | None = None, *, only: Collection[str] | None = None
    ) -> list[Executable]:
        """Statements that make the tables, or `only` these of them, in the newest version."""
        return self._collect(schema, MetaData.create_all, only)

    def drop_statements(self, schema: str | None = None) -> list[Executable]:
        """Statements that drop the tables with everything in them."""
        drop_shared = _DROP_SHARED.format(schema=prefix(schema), shared=SHARED)
        return [*self._collect(schema, MetaData.drop_all), text(drop_shared)]

    def upgrade_statements(
        self, found: int, version: int, schema: str | None = None
    ) -> list[Executable]:
        """Statements that bring the tables from version `found` to `version`.

        Raises ValueError if there is no such version.
        """
        if not 1 <= version <= self.version:
            message = f"{self.name} has no version {version}, the newest is {self.version}"
            raise ValueError(message)
        statements = list[str]()
        for number in range(found + 1, version + 1):
            step = () if number == 1 else self.steps[number - 2]
            statements += [statement.format(schema=prefix(schema)) for statement in step]
            statements.append(self._write_version(number, schema))
        return [text(statement) for statement in statements]

    async def find(self, connection: Connection) -> FoundTables:
        """What the search path of the connection leads to. One round trip."""
        ordered = sorted(self.tables, key=lambda name: name != self.table)
        names = ", ".join(f"'{name}'" for name in ordered)
        oids = ", ".join(f"to_regclass('{name}')" for name in ordered)
        rows = await _fetch(connection, _FIND.format(names=names, oids=oids))
        missing = tuple(name for name, exists, _ in rows if not exists)
        [version] = [version_in(comment) for name, _, comment in rows if name == self.table]
        return FoundTables(self, version, missing)

    def _write_version(self, version: int, schema: str | None) -> str:
        """Keeps a later version: old migrations may run on the tables of a later release."""
        table = f"{prefix(schema)}{self.table}"
        return f"""
DO $$ BEGIN
  IF coalesce(substring(obj_description('{table}'::regclass, 'pg_class')
                        FROM '^{MARK} ([0-9]+)$')::int, 0) < {version} THEN
    COMMENT ON TABLE {table} IS '{comment(version)}';
  END IF;
END $$"""

    def _collect(
        self,
        schema: str | None,
        how: Callable[..., None],
        only: Collection[str] | None = None,
    ) -> list[Executable]:
        metadata, statements = MetaData(schema=schema), list[Executable]()
        self.declare(metadata)
        tables = [table for table in metadata.sorted_tables if only is None or table.name in only]
        own = [table for table in tables if table.name != SHARED]
        engine = create_mock_engine(
            "postgresql+psycopg://", lambda statement, *_, **__: statements.append(statement)
        )
        how(metadata, engine, tables=own, checkfirst=False)
        if how is MetaData.create_all:
            for table in (one for one in tables if one.name == SHARED):
                statements += [CreateTable(table, if_not_exists=True), SetTableComment(table)]
        return statements


@dataclass(frozen=True, slots=True)
class FoundTables:
    """What a database has of a group."""

    group: TableGroup
    version: int | None
    """None if the first table is missing, or if its comment does not say the version."""
    missing: tuple[str, ...]
    """Tables of the group that the database does not have."""

    @property
    def absent(self) -> bool:
        """Whether the database has none of the tables, but for the one that all groups share."""
        return {*self.group.tables} - {SHARED} <= {*self.missing}

    @property
    def problem(self) -> str | None:
        """What is wrong and which call mends it; None if the code can work with these tables."""
        name, wanted = self.group.name, self.group.version
        if self.absent:
            call = f"outbox.schema.create_{name}(op)"
            return (
                f"the database has no {name} tables: call {call} in a migration,"
                " or see whether the search path leads to them"
            )
        if self.missing:
            lacks = ", ".join(self.missing)
            return f"of the {name} tables {lacks} is missing: {_PRINTS} what makes it"
        if self.version is None:
            first = self.group.table
            return f"the comment of {first} does not say its version: {_PRINTS} what writes it"
        if self.version < wanted:
            call = f'outbox.schema.upgrade(op, "{name}", version={wanted})'
            return (
                f"the {name} tables have version {self.version}, this code wants"
                f" {wanted}: call {call} in a migration"
            )
        return None

    def statements(self) -> list[Executable]:
        """What is missing, in the order in which to run it."""
        created = self.group.create_statements(only=self.missing)
        if self.absent:
            return created
        return [*created, *self.group.upgrade_statements(self.version or 0, self.group.version)]


async def check(connection: Connection, groups: Iterable[TableGroup]) -> None:
    """Raise `SchemaBehind` unless this code can work with the tables of these groups.

    One round trip for each group. Tables that are ahead of this code are accepted.
    """
    for group in groups:
        found = await group.find(connection)
        if found.problem is not None:
            raise SchemaBehind(group.name, found.problem)


async def _fetch(connection: Connection, query: str) -> Sequence[tuple[Any, ...]]:
    if isinstance(connection, AsyncConnection):
        return [tuple(row) for row in await connection.exec_driver_sql(query)]
    return await (await connection.execute(query)).fetchall()

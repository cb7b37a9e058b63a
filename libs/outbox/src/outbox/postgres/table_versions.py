"""Which of the library's tables a database has, in which version, and whether that will do."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Executable
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.errors import SchemaBehind
from outbox.postgres.table_details import version_in
from outbox.table_groups import GROUPS, Group, create_statements, upgrade_statements

Connection = AsyncConnection | psycopg.AsyncConnection[Any]

# All in one schema, the first table's: the search path may lead to others of these names.
_LOOK = """
SELECT name, c.oid IS NOT NULL, obj_description(c.oid, 'pg_class')
  FROM unnest(ARRAY[{names}]) AS name
  LEFT JOIN pg_class c ON c.relname = name AND c.relnamespace
       = (SELECT relnamespace FROM pg_class WHERE oid = coalesce({oids}))
"""


@dataclass(frozen=True, slots=True)
class Found:
    """One group of tables, as the search path of a connection leads to it."""

    group: str
    wanted: int
    version: int | None
    """None where its first table is missing, or does not say it."""
    missing: tuple[str, ...]
    """Tables that are not there."""

    @property
    def absent(self) -> bool:
        """Whether none of its tables is there."""
        return len(self.missing) == len(GROUPS[self.group].tables)

    @property
    def problem(self) -> str | None:
        """What is wrong and which call mends it; None if the code can work with it."""
        if self.absent:
            call = f"outbox.schema.create_{self.group}(op)"
            return (
                f"the database has no {self.group} tables: call {call} in a migration,"
                " or see whether the search path leads to them"
            )
        if self.missing:
            lacks = ", ".join(self.missing)
            return f"of the {self.group} tables {lacks} is missing: {_PRINTS} what makes it"
        if self.version is None:
            first = GROUPS[self.group].table
            return f"the comment of {first} does not say its version: {_PRINTS} what writes it"
        if self.version < self.wanted:
            call = f'outbox.schema.upgrade(op, "{self.group}", version={self.wanted})'
            return (
                f"the {self.group} tables have version {self.version}, this code wants"
                f" {self.wanted}: call {call} in a migration"
            )
        return None

    def statements(self) -> list[Executable]:
        """What is missing, in the order in which to run it."""
        made = create_statements(self.group, only=self.missing)
        if self.absent:
            return made
        return [*made, *upgrade_statements(self.group, self.version or 0, self.wanted)]


_PRINTS = "`outbox schema` prints"


async def look(connection: Connection, groups: Iterable[str] = GROUPS) -> list[Found]:
    """Which tables of these groups are there."""
    return [await _look(connection, GROUPS[group]) for group in groups]


async def check(connection: Connection, groups: Collection[str]) -> None:
    """Raise `SchemaBehind` unless the tables of these groups will do: outbox, inbox, jobs.

    One round trip for each. Tables that are ahead of this code will do.
    """
    for found in await look(connection, groups):
        if found.problem is not None:
            raise SchemaBehind(found.group, found.problem)


async def _look(connection: Connection, group: Group) -> Found:
    ordered = sorted(group.tables, key=lambda name: name != group.table)
    names = ", ".join(f"'{name}'" for name in ordered)
    oids = ", ".join(f"to_regclass('{name}')" for name in ordered)
    rows = await _fetch(connection, _LOOK.format(names=names, oids=oids))
    missing = tuple(name for name, there, _ in rows if not there)
    [version] = [version_in(comment) for name, _, comment in rows if name == group.table]
    return Found(group.name, group.version, version, missing)


async def _fetch(connection: Connection, query: str) -> Sequence[tuple[Any, ...]]:
    if isinstance(connection, AsyncConnection):
        return [tuple(row) for row in await connection.exec_driver_sql(query)]
    return await (await connection.execute(query)).fetchall()

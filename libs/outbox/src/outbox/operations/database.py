"""An operator's connection to a database that holds an outbox, an inbox or both.

Every operation uses this one type of connection: psycopg's, in autocommit.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, TypeVar

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.rows import class_row

from outbox.addresses import Database, DatabaseAddress

Connection = psycopg.AsyncConnection[Any]
Row = TypeVar("Row")

CONNECT_TIMEOUT = 5


@asynccontextmanager
async def open_database(
    database: Database, *, via: str = "cli", statement_timeout: float = 0
) -> AsyncIterator[Connection]:
    """A connection in autocommit. Raises `InvalidSetting` if this is not a database's address.

    A statement may take so many seconds; 0 is no limit.
    """
    conninfo = make_conninfo(
        DatabaseAddress.of(database).conninfo,
        application_name=f"outbox {via}",
        connect_timeout=CONNECT_TIMEOUT,
    )
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        # The limit that the role has for requests does not apply.
        limit = f"{statement_timeout * 1000:.0f}"
        await connection.execute("SELECT set_config('statement_timeout', %s, false)", [limit])
        yield connection


async def fetch(
    connection: Connection,
    kind: type[Row],
    query: str,
    parameters: Mapping[str, object] | None = None,
) -> list[Row]:
    """Rows as instances of a dataclass whose fields are named like the columns."""
    async with connection.cursor(row_factory=class_row(kind)) as cursor:
        await cursor.execute(query, parameters, prepare=False)
        return await cursor.fetchall()


async def value(
    connection: Connection, query: str, parameters: Mapping[str, object] | None = None
) -> Any:
    """The first column of the first row, or None."""
    cursor = await connection.execute(query, parameters, prepare=False)
    row = await cursor.fetchone()
    return row[0] if row else None


async def now(connection: Connection) -> datetime:
    """The time by the database's clock, which stamps all rows."""
    found: datetime = await value(connection, "SELECT clock_timestamp()")
    return found


async def has_table(connection: Connection, name: str) -> bool:
    """Whether the search path leads to a table of this name."""
    return bool(await value(connection, "SELECT to_regclass(%(name)s)", {"name": name}))

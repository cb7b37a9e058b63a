"""What the health checks ask PostgreSQL, over a connection of their own.

The connection is not from the pool: under load the pool is empty, and the process is healthy.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import psycopg

from servicekit.database import migrations
from servicekit.database.engine import connect
from servicekit.database.migrations import Schema
from servicekit.process.urls import PostgresUrl

__all__ = ["DatabaseProbe", "SchemaIsBehind", "SchemaIsForeign"]

T = TypeVar("T")


class SchemaIsBehind(Exception):
    """The database lacks revisions that this code expects."""


class SchemaIsForeign(Exception):
    """The database has revisions of a lineage that this code does not know."""


class DatabaseProbe:
    """Two checks for `Health`: the database answers, and its schema is at head (or ahead)."""

    def __init__(self, url: PostgresUrl, ini: Path) -> None:
        self._url = url
        self._ini = ini
        self._connection: psycopg.AsyncConnection | None = None
        self._one_at_a_time = asyncio.Lock()

    async def database(self) -> None:
        await self._ask(_answers)

    async def migrations(self) -> None:
        schema = await self._ask(self._schema)
        if schema.behind:
            raise SchemaIsBehind
        if schema.foreign:
            raise SchemaIsForeign

    async def _schema(self, connection: psycopg.AsyncConnection) -> Schema:
        return migrations.compare(await migrations.read_current(connection), self._ini)

    async def _ask(self, question: Callable[[psycopg.AsyncConnection], Awaitable[T]]) -> T:
        async with self._one_at_a_time:
            if self._connection is None or self._connection.closed:
                self._connection = await connect(self._url, application_name="health")
                kept = False
            else:
                kept = True
            try:
                return await question(self._connection)
            except psycopg.OperationalError:
                await self._forget()
                if not kept:
                    raise
        # A kept connection may have died long ago with a server that is back.
        return await self._ask(question)

    async def _forget(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def aclose(self) -> None:
        await self._forget()


async def _answers(connection: psycopg.AsyncConnection) -> None:
    await connection.execute("SELECT 1")

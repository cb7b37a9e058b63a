"""Hears notifications, on a connection of its own, because a pool's connections change hands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import sql

from outbox.addresses import Database
from outbox.postgres.sessions import connect


class Listener:
    """Listens to one channel. A missed notification costs time only: every listener polls too."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def on(cls, database: Database, channel: str) -> AsyncIterator[Listener]:
        """Connect to this database, and listen."""
        async with await connect(database) as connection:
            yield await cls.over(connection, channel)

    @classmethod
    async def over(cls, connection: psycopg.AsyncConnection[Any], channel: str) -> Listener:
        """Listen on a connection that nothing else uses."""
        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        return cls(connection)

    async def heard(self, seconds: float) -> list[str]:
        """Return the next payloads, at the latest after so many seconds."""
        # To its end, because a generator left half-way keeps the connection's lock.
        rings = self._connection.notifies(timeout=seconds, stop_after=1)
        return [ring.payload async for ring in rings]

    async def payloads(self) -> AsyncIterator[str]:
        """Give each payload as it comes, until the connection is lost."""
        async for ring in self._connection.notifies():
            yield ring.payload

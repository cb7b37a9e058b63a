"""Hears when somebody wants parked events to be tried at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox.consume.parking import REDRIVE


class Redrives:
    """Listens on a connection of its own, because the pool's go from hand to hand."""

    def __init__(self, connection: psycopg.AsyncConnection[object], consumer: str) -> None:
        self._connection = connection
        self._consumer = consumer

    @classmethod
    @asynccontextmanager
    async def listening(cls, engine: AsyncEngine, consumer: str) -> AsyncIterator[Redrives]:
        """Connect to where the engine connects to, and listen."""
        _, given = engine.dialect.create_connect_args(engine.url)
        async with await psycopg.AsyncConnection.connect(
            **given, autocommit=True, connect_timeout=5
        ) as connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(REDRIVE)))
            yield cls(connection, consumer)

    async def wait(self, seconds: float) -> bool:
        """Return when this consumer is rung, or after so many seconds."""
        # To its end, because a generator left half-way keeps the connection's lock.
        rings = [ring async for ring in self._connection.notifies(timeout=seconds, stop_after=1)]
        return any(ring.payload == self._consumer for ring in rings)

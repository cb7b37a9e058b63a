"""Hears notifications, on a connection of its own, because the pool's go from hand to hand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from psycopg import sql
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox.addresses import DatabaseAddress
from outbox.supervise import SHORT_KEEPALIVES, connected


class Listener:
    """Listens to one channel. What is missed costs time only: who listens looks by itself too."""

    def __init__(self, connection: psycopg.AsyncConnection[object]) -> None:
        self._connection = connection

    @classmethod
    @asynccontextmanager
    async def on(cls, engine: AsyncEngine, channel: str) -> AsyncIterator[Listener]:
        """Connect to where the engine connects to, and listen."""
        given = {**DatabaseAddress.of(engine).parameters, **SHORT_KEEPALIVES}
        opening = psycopg.AsyncConnection.connect(autocommit=True, **given)
        async with await connected(opening) as connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            yield cls(connection)

    async def heard(self, seconds: float) -> list[str]:
        """The payloads of what is said next, at the latest after so many seconds."""
        # To its end, because a generator left half-way keeps the connection's lock.
        rings = self._connection.notifies(timeout=seconds, stop_after=1)
        return [ring.payload async for ring in rings]

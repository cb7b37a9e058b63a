"""Deletes expired rows of a table in batches, in any worker; several at once do no harm."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import sqlalchemy.exc
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from outbox.supervise import pause

__all__ = ["DeleteBatch", "Expiry", "delete_expired"]

BATCH = 1000
INTERVAL = 300.0
RETRY_AFTER = 5.0

logger = structlog.get_logger(__name__)

DeleteBatch = Callable[[AsyncConnection, int], Awaitable[int]]
"""Deletes at most so many expired rows, without waiting for locked ones; returns how many."""


async def delete_expired(
    engine: AsyncEngine, delete_batch: DeleteBatch, *, batch: int = BATCH
) -> int:
    """Delete all expired rows, `batch` of them in a transaction; return how many."""
    deleted = 0
    while True:
        async with engine.begin() as connection:
            found = await delete_batch(connection, batch)
        deleted += found
        if found < batch:
            return deleted


class Expiry:
    """A background service of a worker: deletes expired rows every few minutes."""

    def __init__(self, engine: AsyncEngine, delete_batch: DeleteBatch, *, rows: str) -> None:
        """`rows` is what logs call them."""
        self._engine = engine
        self._delete_batch = delete_batch
        self._rows = rows
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; wait for a database that is away."""
        while not stop.is_set():
            try:
                deleted = await delete_expired(self._engine, self._delete_batch)
            except (psycopg.OperationalError, sqlalchemy.exc.SQLAlchemyError) as error:
                self.running = False
                reason = str(error).split("\n", 1)[0]
                logger.warning("expiry_waits", rows=self._rows, reason=reason)
                await pause(stop, RETRY_AFTER)
            else:
                self.running = True
                logger.debug("rows_expired", rows=self._rows, deleted=deleted)
                await pause(stop, INTERVAL)
        self.running = False

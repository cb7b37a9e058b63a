"""Expired idempotency keys are deleted, in any worker; several at once do no harm."""

import asyncio

import psycopg
import sqlalchemy.exc
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox.supervise import pause
from servicekit.http.idempotency_keys import delete_expired_batch

__all__ = ["KeyExpiry", "delete_expired"]

BATCH = 1000
INTERVAL = 300.0
RETRY_AFTER = 5.0

logger = structlog.get_logger(__name__)


async def delete_expired(engine: AsyncEngine, *, batch: int = BATCH) -> int:
    """Delete all expired keys, `batch` of them in a transaction; return how many."""
    deleted = 0
    while True:
        async with engine.begin() as connection:
            found = await delete_expired_batch(connection, batch)
        deleted += found
        if found < batch:
            return deleted


class KeyExpiry:
    """A background service of a worker: deletes expired keys every few minutes."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop; wait for a database that is away."""
        while not stop.is_set():
            try:
                deleted = await delete_expired(self._engine)
            except (psycopg.OperationalError, sqlalchemy.exc.SQLAlchemyError) as error:
                self.running = False
                logger.warning("key_expiry_waits", reason=str(error).split("\n", 1)[0])
                await pause(stop, RETRY_AFTER)
            else:
                self.running = True
                logger.debug("keys_expired", deleted=deleted)
                await pause(stop, INTERVAL)
        self.running = False

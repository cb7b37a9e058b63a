"""One of many at work: the others stand by, and one of them takes over when it is gone.

The lock is a database session's own (PostgreSQL, "Advisory Locks"): no lease and no clock. Who has
lost the session stops working at once; until it has noticed, two may work.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

import psycopg

from outbox.addresses import Database, DatabaseAddress
from outbox.postgres.sessions import open_lock_session
from outbox.supervise import Enduring, Up, keep_running, pause, run_until_first

# Asked again and again: a statement that waits for a lock keeps dead rows from being cleared.
EVERY = 1.0

# Of the inbox that this consumer writes, whatever else its search path leads to.
_TAKE = """
SELECT pg_try_advisory_lock(hashtext('turns in ' || relnamespace::regnamespace), hashtext(%s))
  FROM pg_class WHERE oid = to_regclass('inbox')
"""

log = logging.getLogger(__name__)


class Worker(Protocol):
    """What must not be done by two at a time."""

    @property
    def running(self) -> bool: ...

    async def run(self, stop: asyncio.Event) -> None: ...


class Leader:
    """Runs `worker` while no other process on this database runs one of this name."""

    def __init__(self, worker: Worker, *, name: str, database_url: Database) -> None:
        self._worker = worker
        self._name = name
        self._database = DatabaseAddress.of(database_url)
        self.standing_by = False

    @property
    def running(self) -> bool:
        """Whether it works, or stands by for one that does."""
        return self.standing_by or self._worker.running

    async def run(self, stop: asyncio.Event) -> None:
        """Work or stand by until told to stop, through any loss of the database."""
        name = f"turn of {self._name}"
        enduring = Enduring(name)
        await keep_running(
            name, lambda up: enduring.run(lambda: self._session(up, stop), stop), stop
        )

    async def _session(self, up: Up, stop: asyncio.Event) -> None:
        async with await open_lock_session(self._database, f"turn of {self._name}") as connection:
            up("is connected, and works unless another process does")
            if await self._comes(connection, stop):
                log.info("it is the turn of %s in this process", self._name)
                await run_until_first(self._worker.run(stop), _watch(connection))

    async def _comes(self, connection: psycopg.AsyncConnection[Any], stop: asyncio.Event) -> bool:
        try:
            while not stop.is_set():
                cursor = await connection.execute(_TAKE, [self._name])
                if await cursor.fetchone() == (True,):
                    return True
                self.standing_by = True
                await pause(stop, EVERY)
            return False
        finally:
            self.standing_by = False


async def _watch(connection: psycopg.AsyncConnection[Any]) -> None:
    """Never ends but by the loss of the session, and of the lock with it."""
    while True:
        await asyncio.sleep(EVERY)
        await connection.execute("SELECT 1")

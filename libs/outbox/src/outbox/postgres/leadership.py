"""Leadership: one of several processes does a certain work, the others stand by.

Leadership is a session-level advisory lock (PostgreSQL, "Advisory Locks"): no lease and no clock. A
process that has lost the session stops working at once; until it notices, two may work.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Protocol

import psycopg

from outbox.addresses import Database, DatabaseAddress
from outbox.postgres.sessions import open_lock_session
from outbox.supervise import Enduring, Up, keep_running, pause, run_until_first

# The lock is tried again and again: a statement that waits for it would keep vacuum from its work.
EVERY = 1.0

# Leaders of different schemas do not compete: the key has the schema of the inbox.
_ACQUIRE = """
SELECT pg_try_advisory_lock(hashtext('turns in ' || relnamespace::regnamespace), hashtext(%s))
  FROM pg_class WHERE oid = to_regclass('inbox')
"""

logger = logging.getLogger(__name__)


class Worker(Protocol):
    """The work that no two processes may do at the same time."""

    @property
    def running(self) -> bool: ...

    async def run(self, stop: asyncio.Event) -> None: ...


class Leader:
    """Runs `worker` while no other process on this database runs one of the same name."""

    def __init__(self, worker: Worker, *, name: str, database_url: Database) -> None:
        self._worker = worker
        self._name = name
        self._database = DatabaseAddress.of(database_url)
        self.standing_by = False

    @property
    def running(self) -> bool:
        """Whether it works, or stands by for another process that does."""
        return self.standing_by or self._worker.running

    async def run(self, stop: asyncio.Event) -> None:
        """Work or stand by until told to stop, through any loss of the database."""
        name = f"leadership of {self._name}"
        enduring = Enduring(name)
        await keep_running(
            name, lambda up: enduring.run(lambda: self._session(up, stop), stop), stop
        )

    async def _session(self, up: Up, stop: asyncio.Event) -> None:
        name = f"leadership of {self._name}"
        async with await open_lock_session(self._database, name) as lock_session:
            up("is connected, and works unless another process does")
            if await self._acquire(lock_session, stop):
                logger.info("this process has the leadership of %s", self._name)
                await run_until_first(self._worker.run(stop), _watch(lock_session))

    async def _acquire(
        self, lock_session: psycopg.AsyncConnection[Any], stop: asyncio.Event
    ) -> bool:
        """Wait for the lock; false if told to stop before."""
        try:
            while not stop.is_set():
                cursor = await lock_session.execute(_ACQUIRE, [self._name])
                if await cursor.fetchone() == (True,):
                    return True
                self.standing_by = True
                await pause(stop, EVERY)
            return False
        finally:
            self.standing_by = False


async def _watch(lock_session: psycopg.AsyncConnection[Any]) -> None:
    """End only when the session is lost, and the lock with it."""
    while True:
        await asyncio.sleep(EVERY)
        await lock_session.execute("SELECT 1")

"""Maintenance of tables with a partition for each day. It runs in any worker, or in several."""

from __future__ import annotations

import asyncio
import logging
import time

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox import metrics
from outbox.losses import one_line
from outbox.postgres.day_partitions import OUTBOX, DayPartitions
from outbox.supervise import Up, keep_running, pause

logger = logging.getLogger(__name__)

INTERVAL = 3600.0
AFTER_TROUBLE = 60.0
ALARM_BELOW = 3
AGAIN = 0.1


class Maintenance:
    """Makes partitions ahead and drops old ones, at the start and every hour."""

    def __init__(
        self,
        engine: AsyncEngine,
        partitions: DayPartitions = OUTBOX,
        *,
        interval: float = INTERVAL,
    ) -> None:
        self._engine = engine
        self._partitions = partitions
        self._interval = interval
        self._warned: set[str] = set()
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Maintain the table until told to stop."""
        await keep_running("maintenance", lambda up: self._session(up, stop), stop)

    async def prepare(self, *, within: float = 5.0) -> bool:
        """Make missing partitions before the first write; returns whether today has one.

        This is for a process that starts where no worker may have run for weeks (decision 0814).
        `within` is how many seconds to try. A process without the right to create tables still
        finds those that a worker made.
        """
        deadline = time.monotonic() + within
        while not await self._prepared():
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(AGAIN)
        return True

    async def _prepared(self) -> bool:
        try:
            await self._partitions.ensure_ahead(self._engine)
        except (DBAPIError, PoolTimeout) as problem:
            logger.info("partitions are left to a worker: %s", one_line(problem))
        try:
            async with self._engine.connect() as connection:
                return await self._partitions.has_today(connection)
        except (DBAPIError, PoolTimeout):
            return False

    async def _session(self, up: Up, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                made, dropped = await self._make(), await self._drop()
                await self._warn_once()
                self.running = True
                up(f"looks after the days of {self._partitions.table}")
                await pause(stop, self._interval if made and dropped else AFTER_TROUBLE)
        finally:
            self.running = False

    async def _make(self) -> bool:
        """Log a day that cannot be made; it needs a person only when few days are left."""
        try:
            await self._partitions.ensure_ahead(self._engine)
        except DBAPIError as problem:
            if problem.connection_invalidated:
                raise
            logger.warning("days of %s are missing: %s", self._partitions.table, one_line(problem))
        async with self._engine.connect() as connection:
            days = await self._partitions.days_ahead(connection)
        metrics.DAYS_AHEAD.labels(self._partitions.table).set(days)
        if days < ALARM_BELOW:
            logger.error(
                "%s has partitions for %d days only: inserts will fail",
                self._partitions.table,
                days,
            )
        return days >= ALARM_BELOW

    async def _drop(self) -> bool:
        """Leave a table that is in use for later: nothing waits behind a lock for long."""
        try:
            for name in await self._partitions.drop_expired(self._engine):
                logger.info("dropped %s", name)
        except DBAPIError as problem:
            if problem.connection_invalidated:
                raise
            logger.warning("partitions stay for now: %s", one_line(problem))
            return False
        return True

    async def _warn_once(self) -> None:
        """Log once each table that maintenance does not touch."""
        partitions, table = self._partitions, self._partitions.table
        async with self._engine.connect() as connection:
            for name in await partitions.made_by_others(connection):
                self._once(f"{name} is no day of {table} and is left alone")
            for name in await partitions.detached_by_hand(connection):
                self._once(f"{name} was detached from {table} by hand and is left alone")

    def _once(self, sentence: str) -> None:
        if sentence not in self._warned:
            self._warned.add(sentence)
            logger.warning(sentence)

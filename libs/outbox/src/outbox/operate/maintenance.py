"""Housekeeping of tables that have a partition a day, in any worker: several at once do no harm."""

from __future__ import annotations

import asyncio
import logging

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox import metrics
from outbox.lifecycle import one_line, pause, reconnecting
from outbox.operate.partitions import OUTBOX, DayPartitions

log = logging.getLogger(__name__)

INTERVAL = 3600.0
AFTER_TROUBLE = 60.0
ALARM_BELOW = 3


class Maintenance:
    """Makes partitions ahead and drops those behind, at the start and every hour."""

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
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Look after the table until told to stop."""
        await reconnecting("maintenance", lambda: self._session(stop), stop)

    async def _session(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                fine = await self._make() and await self._drop()
                self.running = True
                await pause(stop, self._interval if fine else AFTER_TROUBLE)
        finally:
            self.running = False

    async def _make(self) -> bool:
        await self._partitions.ensure_ahead(self._engine)
        async with self._engine.connect() as connection:
            days = await self._partitions.days_ahead(connection)
        metrics.DAYS_AHEAD.labels(self._partitions.table).set(days)
        if days < ALARM_BELOW:
            log.error(
                "%s has partitions for %d days only: inserts will fail",
                self._partitions.table,
                days,
            )
        return days >= ALARM_BELOW

    async def _drop(self) -> bool:
        """A table in use is left for later: nothing waits behind a lock for long."""
        try:
            for name in await self._partitions.drop_expired(self._engine):
                log.info("dropped %s", name)
        except DBAPIError as problem:
            if problem.connection_invalidated:
                raise
            log.warning("partitions stay for now: %s", one_line(problem))
            return False
        return True

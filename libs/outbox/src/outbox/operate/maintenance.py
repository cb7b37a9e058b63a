"""Housekeeping of the log, in any worker: several at once do no harm."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from outbox.lifecycle import pause, reconnecting
from outbox.operate.partitions import ensure_ahead

INTERVAL = 3600.0


class Maintenance:
    """Makes partitions ahead of time, now and then every hour."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Look after the log until told to stop."""
        await reconnecting("maintenance", lambda: self._session(stop), stop)

    async def _session(self, stop: asyncio.Event) -> None:
        try:
            while not stop.is_set():
                await ensure_ahead(self._engine)
                self.running = True
                await pause(stop, INTERVAL)
        finally:
            self.running = False

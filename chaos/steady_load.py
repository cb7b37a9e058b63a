"""A load at a fixed rate that waits for nothing, on aggregates of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from chaos.scenario import SHOP, WRITE, Environment, Event
from outbox import Outbox

TOGETHER = 3
"""Events in one transaction, of as many aggregates."""


@dataclass
class SteadyLoad:
    """`rate` events a second, in a thread. `kind` gives the poison of the nth event."""

    environment: Environment
    rate: int
    aggregates: int = 300
    prefix: str = "a"
    kind: Callable[[int], str] = lambda _: ""
    written: int = 0
    _seconds: float = 0.0
    _stop: threading.Event = field(default_factory=threading.Event)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[SteadyLoad]:
        """Write until the block ends."""
        task = asyncio.create_task(asyncio.to_thread(self._write))
        try:
            yield self
        finally:
            self._stop.set()
            await task

    async def has_written(self, count: int) -> bool:
        return self.written >= count

    @property
    def measured_rate(self) -> float:
        """Events a second that were written indeed."""
        return self.written / self._seconds

    def _write(self) -> None:
        log, began = Outbox(SHOP.name), time.monotonic()
        with self.environment.connect(SHOP) as connection:
            while not self._stop.wait(began + self.written / self.rate - time.monotonic()):
                events = [self._event(self.written + n) for n in range(TOGETHER)]
                with connection.transaction():
                    for event in events:
                        connection.execute(WRITE, event.row)
                    log.add_sync(connection, *events)
                self.written += TOGETHER
                self._seconds = time.monotonic() - began

    def _event(self, number: int) -> Event:
        nth, aggregate = divmod(number, self.aggregates)
        return Event("order", f"{self.prefix}{aggregate}", nth + 1, self.kind(number))

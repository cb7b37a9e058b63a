"""What a relay does beside publishing: scheduled events, the topology, and figures.

The topology has a loop of its own: a broker that is blocked does not answer, perhaps for hours, and
the rest must not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from outbox import metrics
from outbox.adaptive_interval import AdaptiveInterval
from outbox.relay.backoff import Backoff, retry_delay
from outbox.relay.doorbell import Doorbell
from outbox.relay.lanes import Lanes
from outbox.relay.log_reader import LogMarker
from outbox.relay.schedule import Schedule
from outbox.supervise import pause, run_until_first

SCHEDULE = 1.0
REPORT = 5.0
# What is due and stays waits for somebody's transaction: look again, but do not spin.
LOCKED_AGAIN = 0.05
# Not at once: a queue that is declared anew within milliseconds of its deletion keeps a consumer
# that no longer hears of it, because the broker cancels consumers only a moment later.
REBIND_AFTER = 1.0
BATCH = 500


class Housekeeping:
    """Runs beside the relay's loop, on the connection that marks and on a channel for checks."""

    def __init__(
        self,
        *,
        marking: LogMarker,
        schedule: Schedule,
        doorbell: Doorbell,
        ensure_topology: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
        topology_check: float,
        exchange: str,
    ) -> None:
        self._marking = marking
        self._schedule = schedule
        self._doorbell = doorbell
        self._ensure_topology = ensure_topology
        self._clock = clock
        self._scheduling = AdaptiveInterval(SCHEDULE, clock, ceiling=SCHEDULE)
        self._reporting = AdaptiveInterval(REPORT, clock)
        self._checking = AdaptiveInterval(topology_check, clock, ceiling=topology_check)
        self._checking.postpone()
        self._hurried = asyncio.Event()
        self._rebinds = 0
        self._exchange = exchange

    async def run(self, holds: Backoff, lanes: Lanes) -> None:
        """Look after everything, for ever."""
        await run_until_first(self._on_database(holds, lanes), self._on_broker(holds))

    async def _on_database(self, holds: Backoff, lanes: Lanes) -> None:
        while True:
            if self._reporting.is_due():
                with self._reporting.measured():
                    await self._report(holds, lanes)
            if lanes.owned and self._scheduling.is_due():
                await self._move_due()
            await self._wait(lanes)

    async def _on_broker(self, holds: Backoff) -> None:
        while True:
            await pause(self._hurried, self._checking.left())
            self._hurried.clear()
            if self._checking.is_due():
                await self._check_topology(holds)

    def rebind_soon(self) -> None:
        """An event came back: a binding is missing."""
        self._checking.hurry(retry_delay(self._rebinds, base=REBIND_AFTER))
        self._hurried.set()

    async def _wait(self, lanes: Lanes) -> None:
        scheduling = self._scheduling.left() if lanes.owned else SCHEDULE
        if await self._doorbell.wait_for_nudge(min(scheduling, self._reporting.left())):
            self._scheduling.hurry()

    async def _move_due(self) -> None:
        with self._scheduling.measured():
            while moved := await self._schedule.move_due(limit=BATCH):
                self._doorbell.ring()
                if moved < BATCH:
                    break
        next_due = await self._schedule.next_due()
        if next_due is not None:
            self._scheduling.hurry(next_due or LOCKED_AGAIN)

    async def _check_topology(self, holds: Backoff) -> None:
        with self._checking.measured():
            await self._ensure_topology()
        # Grows with each round in vain; what is quiet for a while begins anew.
        self._rebinds = self._rebinds + 1 if len(holds) else 0
        holds.hurry(self._clock())
        self._doorbell.ring()

    async def _report(self, holds: Backoff, lanes: Lanes) -> None:
        backlog, age = await self._marking.backlog()
        metrics.BACKLOG.labels(self._exchange).set(backlog)
        metrics.OLDEST_SECONDS.labels(self._exchange).set(age)
        metrics.HELD.labels(self._exchange).set(len(holds))
        metrics.LANES_OWNED.labels(self._exchange).set(len(lanes.owned))

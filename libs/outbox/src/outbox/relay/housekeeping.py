"""What a relay does besides publishing: scheduled events, the topology, and metrics.

The topology has a loop of its own: a blocked broker does not answer, perhaps for hours, and the
rest must not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from outbox import metrics
from outbox.delays import AdaptiveInterval
from outbox.log.relay_queries import OutboxMarker, Schedule
from outbox.postgres.controls import READ_EVERY, Valve
from outbox.relay.backoff import Backoff, retry_delay
from outbox.relay.doorbell import Doorbell
from outbox.relay.lanes import Lanes
from outbox.supervise import pause, run_until_first

SCHEDULE = 1.0
REPORT = 10.0
LOCKED_AGAIN = 0.05
"""Seconds until a due event is tried again whose stream an open transaction has locked."""
REBIND_AFTER = 1.0  # see decision 0005
"""Seconds; not at once, because the broker cancels the consumers of a deleted queue a moment late.

A queue that is declared again within milliseconds keeps a consumer that hears nothing from it."""
BATCH = 500


class Housekeeping:
    """Runs beside the relay's loop, on the connection that marks and on a channel for checks."""

    def __init__(
        self,
        *,
        marker: OutboxMarker,
        schedule: Schedule,
        doorbell: Doorbell,
        ensure_topology: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
        topology_check: float,
        exchange: str,
        valve: Valve,
    ) -> None:
        self._marker = marker
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
        self._valve = valve
        self._read_controls_at = clock()

    async def run(self, backoff: Backoff, lanes: Lanes) -> None:
        """Run until cancelled."""
        await run_until_first(self._on_database(backoff, lanes), self._on_broker(backoff))

    async def _on_database(self, backoff: Backoff, lanes: Lanes) -> None:
        while True:
            if self._reporting.is_due():
                with self._reporting.measured():
                    await self._report(backoff, lanes)
            if self._read_controls_at <= self._clock():
                await self._read_controls()
            if lanes.owned and self._scheduling.is_due():
                await self._move_due()
            await self._wait(lanes)

    async def _on_broker(self, backoff: Backoff) -> None:
        while True:
            await pause(self._hurried, self._checking.left())
            self._hurried.clear()
            if self._checking.is_due():
                await self._check_topology(backoff)

    def rebind_soon(self) -> None:
        """Declare the topology soon: an event came back, so a binding is missing."""
        self._checking.hurry(retry_delay(self._rebinds, base=REBIND_AFTER))
        self._hurried.set()

    async def _wait(self, lanes: Lanes) -> None:
        scheduling = self._scheduling.left() if lanes.owned else SCHEDULE
        controls = max(self._read_controls_at - self._clock(), 0.0)
        seconds = min(scheduling, self._reporting.left(), controls)
        if await self._doorbell.wait_for_more(seconds):
            if self._doorbell.pop_scheduled():
                self._scheduling.hurry()
            if self._doorbell.pop_controlled():
                self._read_controls_at = self._clock()

    async def _read_controls(self) -> None:
        await self._marker.read_controls(self._valve)
        seconds = min(self._doorbell.poll(READ_EVERY), self._valve.until_next())
        self._read_controls_at = self._clock() + seconds

    async def _move_due(self) -> None:
        with self._scheduling.measured():
            next_due = await self._schedule.next_due()
            if next_due == 0:
                while moved := await self._schedule.move_due(limit=BATCH):
                    self._doorbell.ring()
                    if moved < BATCH:
                        break
                next_due = await self._schedule.next_due()
        if next_due is not None:
            self._scheduling.hurry(next_due or LOCKED_AGAIN)

    async def _check_topology(self, backoff: Backoff) -> None:
        with self._checking.measured():
            await self._ensure_topology()
        # Grows with each check in vain, and starts again after a quiet one.
        self._rebinds = self._rebinds + 1 if len(backoff) else 0
        backoff.hurry(self._clock())
        self._doorbell.ring()

    async def _report(self, backoff: Backoff, lanes: Lanes) -> None:
        backlog, age = await self._marker.backlog()
        metrics.BACKLOG.labels(self._exchange).set(backlog)
        metrics.OLDEST_SECONDS.labels(self._exchange).set(age)
        metrics.BACKED_OFF.labels(self._exchange).set(len(backoff))
        metrics.LANES_OWNED.labels(self._exchange).set(len(lanes.owned))

"""What a relay does beside publishing: scheduled events, the topology, and figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from outbox import metrics
from outbox.relay.doorbell import Doorbell
from outbox.relay.holds import Holds, retry_delay
from outbox.relay.lanes import Lanes
from outbox.relay.log import Marking
from outbox.relay.pace import Pace
from outbox.relay.schedule import Schedule

SCHEDULE = 1.0
REPORT = 5.0
# What is due and stays waits for somebody's transaction: look again, but do not spin.
LOCKED_AGAIN = 0.05
# Not at once: a queue that is declared anew within milliseconds of its deletion keeps a consumer
# that no longer hears of it, because the broker cancels consumers only a moment later.
REBIND_AFTER = 1.0
BATCH = 500


class Upkeep:
    """Runs beside the relay's loop, on the connection that marks."""

    def __init__(
        self,
        *,
        marking: Marking,
        schedule: Schedule,
        doorbell: Doorbell,
        ensure_topology: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
        topology_check: float,
    ) -> None:
        self._marking = marking
        self._schedule = schedule
        self._doorbell = doorbell
        self._ensure_topology = ensure_topology
        self._clock = clock
        self._scheduling = Pace(SCHEDULE, clock, ceiling=SCHEDULE)
        self._reporting = Pace(REPORT, clock)
        self._checking = Pace(topology_check, clock, ceiling=topology_check)
        self._checking.postpone()
        self._rebinds = 0

    async def run(self, holds: Holds, lanes: Lanes) -> None:
        """Look after everything, for ever."""
        while True:
            if self._reporting.is_due():
                with self._reporting.measured():
                    await self._report(holds, lanes)
            if self._checking.is_due():
                await self._check_topology(holds)
            if lanes.owned and self._scheduling.is_due():
                await self._move_due()
            await self._wait(lanes)

    def rebind_soon(self) -> None:
        """An event came back: a binding is missing."""
        self._checking.hurry(retry_delay(self._rebinds, base=REBIND_AFTER))
        self._doorbell.nudge()

    async def _wait(self, lanes: Lanes) -> None:
        scheduling = self._scheduling.left() if lanes.owned else SCHEDULE
        wait = min(scheduling, self._reporting.left(), self._checking.left())
        if await self._doorbell.wait_for_nudge(wait):
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

    async def _check_topology(self, holds: Holds) -> None:
        with self._checking.measured():
            await self._ensure_topology()
        # Grows with each round in vain; what is quiet for a while begins anew.
        self._rebinds = self._rebinds + 1 if len(holds) else 0
        holds.hurry(self._clock())
        self._doorbell.ring()

    async def _report(self, holds: Holds, lanes: Lanes) -> None:
        backlog, age = await self._marking.backlog()
        metrics.BACKLOG.set(backlog)
        metrics.OLDEST_SECONDS.set(age)
        metrics.HELD.set(len(holds))
        metrics.LANES_OWNED.set(len(lanes.owned))

"""An hour of figures in memory, for the overview's picture and plots.

Each service is measured by a task of its own, every `AT_REST` seconds, and every `WATCHED` seconds
while somebody looks at the overview. Invariant: a measurement is followed by a pause of at least 49
times what it took, so that at rest it uses at most 2 % of a core of the database; by 9 times while
it is watched. A service that does not answer has samples that say so.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from outbox.console.plots import SECONDS
from outbox.console.services import ConsoleService
from outbox.console.unusable import reason_of
from outbox.operations.flow import Flow
from outbox.operations.operator import Actor
from outbox.rabbitmq.management_api import ManagementFailed

logger = logging.getLogger(__name__)

AT_REST, WATCHED = 10.0, 2.0
SHARE_AT_REST, SHARE_WATCHED = 0.02, 0.1
"""The share of the time in which a measurement may run."""
WATCHED_FOR = 15.0
"""So long after the page was drawn last somebody looks at it."""
TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Measured:
    """The flow of one database, and how many messages are ready in its queues, if that is known."""

    flow: Flow
    ready: Mapping[str, int | None] = field(default_factory=dict)


Measure = Callable[[datetime | None], Awaitable[Measured]]
"""Measures one service since a time by its database's clock."""


def measure_of(service: ConsoleService) -> Measure:
    """How a service is measured: by its database and, if it has one, by the management API."""

    async def measure(since: datetime | None) -> Measured:
        async with service.operator(Actor("console", "console")) as operator:
            flow = await operator.flow(since)
            if service.management_url is None or service.broker_url is None:
                return Measured(flow)
            try:
                queues = await operator.queues()
            except ManagementFailed:
                return Measured(flow)
            return Measured(flow, {one.queue: one.ready for one in queues})

    return measure


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement at `at` of the process's clock. Rates are over the `seconds` before it."""

    at: float
    flow: Flow | None
    seconds: float | None = None
    ready: Mapping[str, int | None] = field(default_factory=dict)
    problem: str = ""

    def per_second(self, events: int | None) -> float | None:
        """So many events of this measurement as a rate; None for the first measurement."""
        return events / self.seconds if self.seconds and events is not None else None


class Samples:
    """The samples of all services, the oldest first."""

    def __init__(
        self, measures: Mapping[str, Measure], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._measures = dict(measures)
        self._clock = clock
        self._kept = {name: deque[Sample]() for name in measures}
        self._watched_until = clock()
        self._watched = asyncio.Event()
        self.is_running = False

    def of(self, service: str) -> Sequence[Sample]:
        """The samples of the last hour."""
        oldest = self._clock() - SECONDS
        return [sample for sample in self._kept[service] if sample.at >= oldest]

    def newest(self, service: str) -> Sample | None:
        """The newest sample, if there is one."""
        kept = self._kept[service]
        return kept[-1] if kept else None

    def ago(self, sample: Sample) -> float:
        """How many seconds ago it was taken."""
        return self._clock() - sample.at

    def watch(self) -> None:
        """Somebody looks: measure more often for a while."""
        self._watched_until = self._clock() + WATCHED_FOR
        self._watched.set()

    async def run(self) -> None:
        """Measure until cancelled."""
        self.is_running = True
        try:
            async with asyncio.TaskGroup() as group:
                for name in self._measures:
                    group.create_task(self._follow(name))
        finally:
            self.is_running = False

    async def _follow(self, name: str) -> None:
        while True:
            began = self._clock()
            await self.measure(name)
            await self._pause(self._clock() - began)

    async def measure(self, name: str) -> None:
        """Take one sample of a service."""
        before = self.newest(name)
        since = before.flow.at if before and before.flow else None
        try:
            async with asyncio.timeout(TIMEOUT):
                measured = await self._measures[name](since)
        except Exception as problem:
            reason = reason_of(problem)
            if before is None or not before.problem:
                logger.warning("%s cannot be measured: %s", name, reason)
            self._keep(name, Sample(self._clock(), None, problem=reason))
        else:
            flow = measured.flow
            seconds = (flow.at - since).total_seconds() if since else None
            self._keep(name, Sample(self._clock(), flow, seconds, measured.ready))

    def _keep(self, name: str, sample: Sample) -> None:
        kept = self._kept[name]
        kept.append(sample)
        while kept[0].at < sample.at - SECONDS:
            kept.popleft()

    async def _pause(self, took: float) -> None:
        """Wait for the next measurement; being watched ends a pause at rest early."""
        if self._is_watched:
            await asyncio.sleep(pause(took, WATCHED, SHARE_WATCHED))
            return
        self._watched.clear()
        soonest = pause(took, WATCHED, SHARE_WATCHED)
        await asyncio.sleep(soonest)
        try:
            async with asyncio.timeout(pause(took, AT_REST, SHARE_AT_REST) - soonest):
                await self._watched.wait()
        except TimeoutError:
            pass

    @property
    def _is_watched(self) -> bool:
        return self._clock() < self._watched_until


def pause(took: float, interval: float, share: float) -> float:
    """How long to wait after a measurement that took so long, in seconds."""
    return max(interval - took, took * (1 / share - 1))

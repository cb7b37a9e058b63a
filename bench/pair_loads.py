"""One load on both services, and what was measured while it ran."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace

from bench.journeys import Journeys
from bench.open_loop_load import percentile
from bench.process_usage import LOAD, CpuTimes, of_system, used
from bench.waiting_events import WaitingEvents, waiting_events
from devstack.native.system import System

FLAT_AFTER = 10.0
"""Seconds after which the backlog must not grow; at most half of the run."""
TOLERANCE = 0.1
"""What comes in so many seconds is no growth."""


@dataclass(frozen=True)
class Lag:
    """How far the services are behind at one moment."""

    unfinished: int
    waiting: WaitingEvents

    def no_longer_than(self, other: Lag, tolerance: float) -> bool:
        return (
            self.unfinished <= other.unfinished + tolerance
            and self.waiting.all <= other.waiting.all + tolerance
        )


@dataclass(frozen=True)
class Measured:
    """One run of a load. Latencies are in milliseconds, CPU in microseconds per settled journey."""

    settled: float
    """Journeys a second that ended while the load ran."""
    answer: tuple[float, float]
    """p50 and p99 from a request to its answer."""
    end: tuple[float, float]
    """The same from a request until it was settled."""
    cpu: Mapping[str, float]
    """By process, until the last journey was settled."""
    load_cores: float
    """Cores that the load generator used."""
    flat: bool
    lag: Lag
    """At the end of the load."""
    posted: int
    refused: int
    offered: float | None = None
    """Journeys a second that an open loop began."""

    @property
    def system_cpu(self) -> float:
        return of_system(self.cpu)

    def __str__(self) -> str:
        cpu = ", ".join(f"{name} {value:,.0f}" for name, value in self.cpu.items() if value >= 1)
        behind = "flat" if self.flat else f"{self.lag.unfinished:,} unfinished at the end"
        behind += f", {self.refused:,} refused" if self.refused else ""
        return (
            f"{self.settled:,.0f}/s settled ({behind}), answered after {_pair(self.answer)} ms, "
            f"settled after {_pair(self.end)} ms (p50, p99); CPU µs: {cpu}; "
            f"the load generator used {self.load_cores:.2f} cores"
        )


class Pair:
    """A running system, and journeys through it."""

    def __init__(self, system: System, journeys: Journeys) -> None:
        self._system = system
        self._journeys = journeys

    async def closed(self, clients: int, seconds: float, *, to_end: bool = True) -> Measured:
        """Each client waits until its journey is settled, or only until it is answered."""
        load = self._journeys.closed_loop(clients, seconds, to_end=to_end)
        return await self._measure(load, seconds)

    async def open(self, rate: float, seconds: float) -> Measured:
        load = self._journeys.open_loop(rate, seconds)
        return replace(await self._measure(load, seconds), offered=rate)

    async def _measure(self, load: Coroutine[None, None, None], seconds: float) -> Measured:
        times, processes = self._journeys.begin(), CpuTimes(self._system)
        before, began = processes.read(), time.perf_counter()
        running = asyncio.create_task(load)
        await asyncio.sleep(min(FLAT_AFTER, seconds / 2))
        early = await self._lag()
        await running
        ended = time.perf_counter()
        load_cores = used(before, processes.read())[LOAD] / (ended - began)
        in_time = sum(at <= ended for at in times.settled.values())
        late = await self._lag()
        await self._journeys.all_settled()
        spent = used(before, processes.read())
        rate = in_time / (ended - began)
        return Measured(
            rate,
            _percentiles(times.to_answer()),
            _percentiles(times.to_end()),
            {name: value / len(times.settled) * 1e6 for name, value in spent.items()},
            load_cores,
            not times.refused and late.no_longer_than(early, rate * TOLERANCE),
            late,
            len(times.answered),
            times.refused,
        )

    async def _lag(self) -> Lag:
        unfinished = self._journeys.times.unfinished
        return Lag(unfinished, await waiting_events(self._system))


def _percentiles(values: list[float]) -> tuple[float, float]:
    return percentile(values, 50), percentile(values, 99)


def _pair(values: tuple[float, float]) -> str:
    return ", ".join(f"{value:,.1f}" for value in values)

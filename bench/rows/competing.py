"""Two processes compete for one queue: how many deliveries are parked as gaps, and what it costs.

Handlers compute for a quarter of a millisecond. The worst case are 20 streams: each process always
has events whose predecessors the other one has.
"""

from __future__ import annotations

import asyncio
import statistics
from contextlib import AsyncExitStack

from bench.consumed import Consumed, consumed
from bench.deliveries import fill_streams
from bench.environment import Environment, fresh_environment
from bench.figures import Bench, Better, Figure, Judged, compare, setting
from bench.subject_process import subject_process

EVENTS = 20_000
MANY, FEW = 1_000, 20
"""Streams."""


async def run(bench: Bench) -> list[Figure]:
    count = setting("BENCH_COMPETING_EVENTS", EVENTS, least=1000, most=1_000_000)
    shares: list[float] = []
    rates: dict[int, list[float]] = {1: [], 2: []}
    for turn in bench.turns:
        async with fresh_environment(bench.stack) as environment:
            done = await _consume(environment, 2, "computes", MANY, count)
            shares.append(done.parked / count * 100)
        for processes, found in rates.items():
            async with fresh_environment(bench.stack) as environment:
                done = await _consume(environment, processes, "handle", FEW, count)
                found.append(count / done.seconds)
        bench.note(
            f"turn {turn + 1}: {shares[-1]:.2f} % parked; {FEW} streams: one process"
            f" {rates[1][-1]:,.0f}/s, two {rates[2][-1]:,.0f}/s"
        )
    return [_gaps(shares), _worst_case(rates)]


async def _consume(
    environment: Environment, processes: int, handler: str, streams: int, count: int
) -> Consumed:
    each = count // streams
    events = await asyncio.to_thread(fill_streams, environment, streams, each)
    async with AsyncExitStack() as stack:
        for _ in range(processes):
            await stack.enter_async_context(subject_process("consumer", environment, handler))
        return await asyncio.to_thread(consumed, environment, events)


def _gaps(shares: list[float]) -> Figure:
    return Figure(
        f"two processes, {MANY:,} streams: parked as gaps",
        statistics.median(shares),
        "%",
        least=5.0,
        aim=1.0,
        judged=Judged.MEASURED,
        better=Better.LOWER,
        turns={"parked": shares},
    )


def _worst_case(rates: dict[int, list[float]]) -> Figure:
    return Figure(
        f"two processes, a backlog of {FEW} streams",
        statistics.median(rates[2]),
        "/s",
        "one process",
        statistics.median(rates[1]),
        compare(rates[2], rates[1]),
        least=0.5,
        aim=0.9,
        turns={"one": rates[1], "two": rates[2]},
    )

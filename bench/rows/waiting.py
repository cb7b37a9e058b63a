"""Handlers that wait 50 ms, 1,000 streams: one process with 16 workers, and four such processes.

Beside them what 16 and 64 workers would do if they did nothing but wait.
"""

from __future__ import annotations

import asyncio
import statistics
from contextlib import AsyncExitStack

from bench.consumed import consumed
from bench.deliveries import fill_streams
from bench.environment import Environment, fresh_environment
from bench.figures import Bench, Figure, Judged, compare, setting
from bench.subject_process import subject_process

STREAMS, WORKERS, WAIT = 1_000, 16, 0.05
EVENTS = {1: 3_000, 4: 8_000}
"""By the number of processes."""
BOUNDS = {1: (250.0, 300.0), 4: (900.0, 1_200.0)}


async def run(bench: Bench) -> list[Figure]:
    share = setting("BENCH_WAITING_SHARE", 100, most=100) / 100
    found: dict[int, list[float]] = {processes: [] for processes in EVENTS}
    for turn in bench.turns:
        for processes, rates in found.items():
            async with fresh_environment(bench.stack) as environment:
                rates.append(await _rate(environment, processes, int(EVENTS[processes] * share)))
        bench.note(
            f"turn {turn + 1}: "
            + ", ".join(f"{number} × {WORKERS} {v[-1]:,.0f}/s" for number, v in found.items())
        )
    return [_figure(processes, rates) for processes, rates in found.items()]


async def _rate(environment: Environment, processes: int, events: int) -> float:
    each = max(events // STREAMS, 1)
    events = await asyncio.to_thread(fill_streams, environment, STREAMS, each)
    async with AsyncExitStack() as stack:
        for _ in range(processes):
            given = {"BENCH_CONCURRENCY": str(WORKERS)}
            await stack.enter_async_context(
                subject_process("consumer", environment, "waits", **given)
            )
        done = await asyncio.to_thread(consumed, environment, events)
    return events / 2 / done.middle


def _figure(processes: int, rates: list[float]) -> Figure:
    ideal = processes * WORKERS / WAIT
    least, aim = BOUNDS[processes]
    return Figure(
        f"waiting handlers, {processes} × {WORKERS} workers",
        statistics.median(rates),
        "/s",
        "nothing but waiting",
        ideal,
        compare(rates, [ideal] * len(rates)),
        least=least,
        aim=aim,
        judged=Judged.MEASURED,
        turns={str(processes): rates},
    )

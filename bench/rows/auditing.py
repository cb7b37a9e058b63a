"""What an event costs the audit: from the stream queue to its line, with the position stored."""

from __future__ import annotations

import asyncio
import statistics
import time

import psycopg

from bench.deliveries import fill_queue
from bench.environment import AUDIT_QUEUE, Environment, fresh_environment
from bench.figures import Bench, Better, Figure, Judged, setting
from bench.subject_process import subject_process

EVENTS, WITHIN = 20_000, 120.0
_POSITION = "SELECT max(next_offset) FROM audit_positions WHERE stream = %s"


async def run(bench: Bench) -> list[Figure]:
    events = setting("BENCH_DELIVERIES", EVENTS, least=1000, most=1_000_000)
    costs: list[float] = []
    for turn in bench.turns:
        async with fresh_environment(bench.stack, audited=True) as environment:
            costs.append(await _audit(environment, events))
        bench.note(f"turn {turn + 1}: {costs[-1]:.1f} µs of CPU an event")
    return [
        Figure(
            "audit, CPU an event",
            statistics.median(costs),
            " µs",
            judged=Judged.MEASURED,
            better=Better.LOWER,
            least=40,
            turns={"CPU µs": costs},
        )
    ]


async def _audit(environment: Environment, events: int) -> float:
    """Microseconds of CPU. The first event is there before the clock starts."""
    async with subject_process("auditor", environment) as auditor:
        await asyncio.to_thread(fill_queue, environment, 10)
        await asyncio.to_thread(_written, environment, 10)
        before = (await auditor.usage()).cpu
        await asyncio.to_thread(fill_queue, environment, events)
        await asyncio.to_thread(_written, environment, 10 + events)
        used = (await auditor.usage()).cpu - before
    return used / events * 1e6


def _written(environment: Environment, lines: int) -> None:
    """Wait until the audit has stored the position behind this many lines."""
    until = time.monotonic() + WITHIN
    with environment.connect() as connection:
        while _position(connection) < lines:
            if time.monotonic() > until:
                raise TimeoutError(f"the audit has not written {lines} lines in {WITHIN} s")
            time.sleep(0.1)


def _position(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    if connection.execute("SELECT to_regclass('audit_positions')").fetchone() == (None,):
        return 0
    [(position,)] = connection.execute(_POSITION, [AUDIT_QUEUE]).fetchall()
    return int(str(position or 0))

"""A server that handlers ask is away for OUTAGE_SECONDS: what it costs, and how soon all is done.

20 events a second of 500 streams, two consumer processes. Effects have to be complete and in order.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bench.consumed import consumed
from bench.deliveries import publish_streams
from bench.dependency import Dependency, dependency
from bench.environment import Environment, fresh_environment
from bench.figures import Bench, Better, Figure, Judged, setting
from bench.subject_process import subject_process

RATE, STREAMS, PROCESSES = 20, 500, 2
BEFORE, SECONDS = 10, 60
"""Seconds of load before the outage, and of the outage."""
RECOVERED_WITHIN = 120.0
_TRANSACTIONS = """
SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()
"""


@dataclass(frozen=True)
class Outage:
    """What one outage cost. Seconds are from the return of the server to the last effect."""

    seconds: float
    attempts: int
    transactions: int


async def run(bench: Bench) -> list[Figure]:
    seconds = setting("OUTAGE_SECONDS", SECONDS, least=10, most=3_600)
    async with fresh_environment(bench.stack) as environment, dependency() as asked:
        found = await _measure(environment, asked, seconds)
    bench.note(f"{found.attempts} attempts and {found.transactions:,} transactions meanwhile")
    return [
        Figure(
            f"outage of {seconds} s: until all took effect",
            found.seconds,
            "s",
            least=RECOVERED_WITHIN,
            aim=RECOVERED_WITHIN / 2,
            judged=Judged.MEASURED,
            better=Better.LOWER,
            remark=f"{found.attempts} attempts, {found.transactions:,} transactions in the outage",
        )
    ]


async def _measure(environment: Environment, asked: Dependency, seconds: int) -> Outage:
    async with AsyncExitStack() as stack:
        for _ in range(PROCESSES):
            given = {"BENCH_ASKS": asked.url}
            await stack.enter_async_context(
                subject_process("consumer", environment, "asks", **given)
            )
        await _load(environment, 0, BEFORE)
        asked.away, before = True, await asyncio.to_thread(_transactions, environment)
        await _load(environment, BEFORE, seconds)
        asked.away, after = False, await asyncio.to_thread(_transactions, environment)
        back, events = time.monotonic(), RATE * (BEFORE + seconds)
        await asyncio.to_thread(consumed, environment, events, within=RECOVERED_WITHIN * 2)
        return Outage(time.monotonic() - back, asked.refused, after - before)


async def _load(environment: Environment, since: int, seconds: int) -> None:
    """Publish at the rate, a second's events together."""
    began = time.monotonic()
    for second in range(seconds):
        numbers = range(RATE * (since + second), RATE * (since + second + 1))
        await asyncio.to_thread(publish_streams, environment, STREAMS, numbers)
        await asyncio.sleep(max(0.0, began + second + 1 - time.monotonic()))


def _transactions(environment: Environment) -> int:
    with environment.connect() as connection:
        [(count,)] = connection.execute(_TRANSACTIONS).fetchall()
    assert isinstance(count, int)
    return count

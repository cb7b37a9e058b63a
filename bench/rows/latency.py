"""From just after the commit to the consumer, at 200 events a second, for ten seconds.

Beside it the same events published straight to the exchange: what the broker alone takes.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import aio_pika

from bench.drain import RELAY, TEXTBOOK
from bench.environment import EXCHANGE, Environment, fresh_environment
from bench.events import TYPE, aggregate_id, payload
from bench.figures import Bench, Better, Figure, Judged, compare, setting
from bench.messages import EVENT_ID, properties
from bench.open_loop_load import Send, committing, consuming, percentile, send_at_rate
from bench.subject_process import subject_process

RATE, SECONDS, WARM_UP = 200, 10, 1
BOUNDS = {50: (4.0, 1.5), 99: (20.0, 4.0)}
"""At least and aimed at, in milliseconds, by percentile."""


@dataclass(frozen=True)
class Latency:
    """Of one turn."""

    milliseconds: dict[int, float]
    cpu: float = 0.0


async def run(bench: Bench) -> list[Figure]:
    seconds = setting("BENCH_LATENCY_SECONDS", SECONDS, least=3, most=600)
    found: dict[str, list[Latency]] = {"broker alone": [], RELAY: [], TEXTBOOK: []}
    for turn in bench.turns:
        for name, latencies in found.items():
            async with fresh_environment(bench.stack) as environment:
                if name in (RELAY, TEXTBOOK):
                    latencies.append(await _through(name, environment, seconds))
                else:
                    latencies.append(await _straight(environment, seconds))
        bench.note(f"turn {turn + 1}: {', '.join(_said(found, name) for name in found)}")
    return [_figure(percent, found) for percent in BOUNDS]


async def _through(script: str, environment: Environment, seconds: int) -> Latency:
    """Committed, and brought to the broker by a relay process."""
    async with subject_process(script, environment) as relay:
        await relay.until(lambda usage: usage.ready and (script != RELAY or usage.lanes > 0))
        before = (await relay.usage()).cpu
        async with committing(environment) as send:
            latency = await _measured(environment, send, seconds)
        used = (await relay.usage()).cpu - before
    return Latency(latency, used / ((seconds + WARM_UP) * RATE) * 1e6)


async def _straight(environment: Environment, seconds: int) -> Latency:
    async with _publishing(environment) as send:
        return Latency(await _measured(environment, send, seconds))


async def _measured(environment: Environment, send: Send, seconds: int) -> dict[int, float]:
    warm = RATE * WARM_UP
    count = warm + RATE * seconds
    async with consuming(environment) as journey:
        await send_at_rate(journey, send, rate=RATE, count=count)
        await journey.all_arrived()
    values = journey.latencies(range(warm, count))
    return {percent: percentile(values, percent) for percent in BOUNDS}


@asynccontextmanager
async def _publishing(environment: Environment) -> AsyncIterator[Send]:
    async with await aio_pika.connect(environment.broker_url) as connection:
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)

        async def send(number: int) -> float:
            now = datetime.now(UTC)
            given = properties(EVENT_ID.format(number), aggregate_id(number), number + 1, now)
            began = time.perf_counter()
            await exchange.publish(aio_pika.Message(payload(number), **given), TYPE, mandatory=True)
            return began

        yield send


def _figure(percent: int, found: dict[str, list[Latency]]) -> Figure:
    values = {name: [one.milliseconds[percent] for one in found[name]] for name in found}
    least, aim = BOUNDS[percent]
    return Figure(
        f"commit → consumer, p{percent}",
        statistics.median(values[RELAY]),
        "ms",
        "broker alone",
        statistics.median(values["broker alone"]),
        compare(values[RELAY], values["broker alone"]),
        least=least,
        aim=aim,
        judged=Judged.MEASURED,
        better=Better.LOWER,
        cpu=statistics.median(one.cpu for one in found[RELAY]),
        remark=f"through the textbook relay {statistics.median(values[TEXTBOOK]):.1f} ms",
        turns=values,
    )


def _said(found: dict[str, list[Latency]], name: str) -> str:
    latest = found[name][-1].milliseconds
    return f"{name} " + " / ".join(f"{latest[percent]:.1f}" for percent in BOUNDS) + " ms"

"""Consume 20,000 deliveries, a tenth of them duplicates, one inserted row each.

Against a textbook consumer: a table of processed messages, one transaction and one ack each.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass

from bench.deliveries import fill_queue
from bench.environment import Environment, fresh_environment
from bench.figures import Bench, Figure, compare, setting
from bench.subject_process import subject_process

DELIVERIES = 20_000
CONSUME_WITHIN = 180.0
TEXTBOOK = "textbook consumer"
_SO_FAR = "SELECT count(*) FROM effects"
# By the effects' own times of writing: connecting is not part of it.
_DONE = """
SELECT count(DISTINCT (aggregate_id, sequence)), extract(epoch FROM max(at) - min(at))::float8
  FROM effects
"""


@dataclass(frozen=True)
class Variant:
    """A way to consume, and how many times the textbook's rate it has to reach."""

    script: str
    arguments: tuple[str, ...] = ()
    least: float | None = None


VARIANTS = {
    TEXTBOOK: Variant("textbook_consumer"),
    "consumer, handle, SQLAlchemy": Variant("consumer", ("sqlalchemy",)),
    "consumer, handle": Variant("consumer", ("handle",), least=3),
    "consumer, handle_many": Variant("consumer", ("handle_many",), least=5),
}


@dataclass(frozen=True)
class Consumed:
    """Deliveries per second, and CPU per delivery in microseconds."""

    rate: float
    cpu: float


async def run(bench: Bench) -> list[Figure]:
    count = setting("BENCH_DELIVERIES", DELIVERIES, least=1000, most=1_000_000)
    found: dict[str, list[Consumed]] = {name: [] for name in VARIANTS}
    for turn in bench.turns:
        for name, variant in VARIANTS.items():
            async with fresh_environment(bench.stack) as environment:
                found[name].append(await _consume(environment, variant, count))
        bench.note(
            f"turn {turn + 1}: "
            + ", ".join(
                f"{name} {consumed[-1].rate:,.0f}/s at {consumed[-1].cpu:.1f} µs"
                for name, consumed in found.items()
            )
        )
    return [_figure(name, found) for name in VARIANTS if name != TEXTBOOK]


async def _consume(environment: Environment, variant: Variant, deliveries: int) -> Consumed:
    """Nothing may take effect twice or be missing."""
    events = await asyncio.to_thread(fill_queue, environment, deliveries)
    async with subject_process(variant.script, environment, *variant.arguments) as consumer:
        before = (await consumer.usage()).cpu
        seconds = await asyncio.to_thread(_wait, environment, events)
        used = (await consumer.usage()).cpu - before
    return Consumed(deliveries / seconds, used / deliveries * 1e6)


def _wait(environment: Environment, events: int) -> float:
    until = time.monotonic() + CONSUME_WITHIN
    with environment.connect() as connection:
        while (rows := connection.execute(_SO_FAR).fetchall()[0][0]) != events:
            if time.monotonic() > until:
                raise TimeoutError(f"{rows} of {events} took effect in {CONSUME_WITHIN} s")
            time.sleep(0.1)
        [(different, seconds)] = connection.execute(_DONE).fetchall()
    if different != events:
        raise RuntimeError(f"{events} effects, but of {different} events")
    assert isinstance(seconds, float)
    return seconds


def _figure(name: str, found: dict[str, list[Consumed]]) -> Figure:
    rates = {key: [one.rate for one in consumed] for key, consumed in found.items()}
    return Figure(
        name,
        statistics.median(rates[name]),
        "/s",
        TEXTBOOK,
        statistics.median(rates[TEXTBOOK]),
        compare(rates[name], rates[TEXTBOOK]),
        least=VARIANTS[name].least,
        cpu=statistics.median(one.cpu for one in found[name]),
        turns={name: rates[name], TEXTBOOK: rates[TEXTBOOK]},
    )

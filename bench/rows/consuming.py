"""Consume 20,000 deliveries, a tenth of them duplicates, one inserted row each.

Against a textbook consumer: a table of processed messages, one transaction and one ack each.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass

from bench.consumed import consumed
from bench.deliveries import fill_queue
from bench.environment import Environment, fresh_environment
from bench.figures import Bench, Figure, compare, setting
from bench.subject_process import subject_process

DELIVERIES = 20_000
TEXTBOOK = "textbook consumer"


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
class Speed:
    """Deliveries per second, and CPU per delivery in microseconds."""

    rate: float
    cpu: float


async def run(bench: Bench) -> list[Figure]:
    count = setting("BENCH_DELIVERIES", DELIVERIES, least=1000, most=1_000_000)
    found: dict[str, list[Speed]] = {name: [] for name in VARIANTS}
    for turn in bench.turns:
        for name, variant in VARIANTS.items():
            async with fresh_environment(bench.stack) as environment:
                found[name].append(await _consume(environment, variant, count))
        bench.note(
            f"turn {turn + 1}: "
            + ", ".join(
                f"{name} {speeds[-1].rate:,.0f}/s at {speeds[-1].cpu:.1f} µs"
                for name, speeds in found.items()
            )
        )
    return [_figure(name, found) for name in VARIANTS if name != TEXTBOOK]


async def _consume(environment: Environment, variant: Variant, deliveries: int) -> Speed:
    """Nothing may take effect twice or be missing."""
    events = await asyncio.to_thread(fill_queue, environment, deliveries)
    async with subject_process(variant.script, environment, *variant.arguments) as consumer:
        before = (await consumer.usage()).cpu
        done = await asyncio.to_thread(consumed, environment, events)
        used = (await consumer.usage()).cpu - before
    return Speed(deliveries / done.seconds, used / deliveries * 1e6)


def _figure(name: str, found: dict[str, list[Speed]]) -> Figure:
    rates = {key: [one.rate for one in speeds] for key, speeds in found.items()}
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

"""Two and four relay processes against one, on the same backlog."""

from __future__ import annotations

from bench.drain import EVENTS, Drained, drain, median
from bench.environment import fresh_environment
from bench.figures import Bench, Figure, compare, setting

COUNTS = (1, 2, 4)
LEAST, AIM = {2: 0.9}, {2: 1.1}


async def run(bench: Bench) -> list[Figure]:
    events = setting("BENCH_EVENTS", EVENTS, least=1000, most=1_000_000)
    drains: dict[int, list[Drained]] = {count: [] for count in COUNTS}
    for turn in bench.turns:
        for count in COUNTS:
            async with fresh_environment(bench.stack) as environment:
                drains[count].append(await drain(environment, relays=count, events=events))
        bench.note(
            f"turn {turn + 1}: "
            + ", ".join(f"{count} × {drains[count][-1].rate:,.0f}/s" for count in COUNTS)
        )
    return [_figure(count, drains[count], drains[1]) for count in COUNTS if count > 1]


def _figure(count: int, several: list[Drained], one: list[Drained]) -> Figure:
    rates, alone = [drained.rate for drained in several], [drained.rate for drained in one]
    return Figure(
        f"{count} relays / one",
        median(several).rate,
        "/s",
        "one relay",
        median(one).rate,
        compare(rates, alone),
        least=LEAST.get(count),
        aim=AIM.get(count),
        cpu=median(several).cpu,
        turns={f"{count} relays": rates, "one relay": alone},
    )

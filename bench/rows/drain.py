"""Drain 50,000 committed events by one relay, against the ceiling and a textbook relay."""

from __future__ import annotations

import asyncio
import statistics

from bench.drain import EVENTS, TEXTBOOK, Drained, drain, median, one_of_queue
from bench.environment import fresh_environment
from bench.figures import Bench, Better, Figure, Judged, compare, setting
from bench.messages import differences

TEXTBOOK_EVENTS = 10_000
"""Fewer, because its rate is a tenth or less and does not depend on how many there are."""


async def run(bench: Bench) -> list[Figure]:
    events = setting("BENCH_EVENTS", EVENTS, least=1000, most=1_000_000)
    ceilings: list[float] = []
    relays: list[Drained] = []
    textbooks: list[Drained] = []
    remarks: set[str] = set()
    for turn in bench.turns:
        async with fresh_environment(bench.stack) as environment:
            done = await asyncio.to_thread(bench.ceiling.publish, environment, events)
            ceilings.append(events / done.seconds)
        async with fresh_environment(bench.stack) as environment:
            relays.append(await drain(environment, events=events))
            remarks.update(differences(await one_of_queue(environment)))
        async with fresh_environment(bench.stack) as environment:
            few = min(events, TEXTBOOK_EVENTS)
            textbooks.append(await drain(environment, script=TEXTBOOK, events=few))
        bench.note(
            f"turn {turn + 1}: {bench.ceiling.name} {ceilings[-1]:,.0f}/s, "
            f"relay {relays[-1].rate:,.0f}/s at {relays[-1].cpu:.1f} µs, "
            f"textbook relay {textbooks[-1].rate:,.0f}/s at {textbooks[-1].cpu:.1f} µs"
        )
    return _figures(bench, ceilings, relays, textbooks, "; ".join(sorted(remarks)))


def _figures(
    bench: Bench,
    ceilings: list[float],
    relays: list[Drained],
    textbooks: list[Drained],
    remark: str,
) -> list[Figure]:
    ours, textbook = median(relays), median(textbooks)
    rates, theirs = [one.rate for one in relays], [one.rate for one in textbooks]
    return [
        Figure(
            "drain / ceiling",
            ours.rate,
            "/s",
            bench.ceiling.name,
            statistics.median(ceilings),
            compare(rates, ceilings),
            least=0.65,
            aim=0.95,
            cpu=ours.cpu,
            remark=f"the relay's messages differ from the ceiling's in {remark}" if remark else "",
            turns={"relay": rates, "ceiling": ceilings},
        ),
        _cost(relays, textbooks),
        Figure(
            "drain / textbook relay",
            ours.rate,
            "/s",
            "textbook relay",
            textbook.rate,
            compare(rates, theirs),
            least=10,
            aim=25,
            cpu=ours.cpu,
            turns={"relay": rates, "textbook relay": theirs},
        ),
    ]


def _cost(relays: list[Drained], textbooks: list[Drained]) -> Figure:
    costs, theirs = [one.cpu for one in relays], [one.cpu for one in textbooks]
    return Figure(
        "relay CPU per event",
        median(relays).cpu,
        "µs",
        "textbook relay",
        median(textbooks).cpu,
        compare(costs, theirs),
        least=25,
        aim=12,
        judged=Judged.MEASURED,
        better=Better.LOWER,
        turns={"relay": costs, "textbook relay": theirs},
    )

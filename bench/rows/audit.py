"""What the audit costs publishing: a drain into the queue and a stream, against the queue alone."""

from __future__ import annotations

from bench.drain import EVENTS, Drained, drain, median
from bench.environment import fresh_environment
from bench.figures import Bench, Figure, compare, setting


async def run(bench: Bench) -> list[Figure]:
    events = setting("BENCH_EVENTS", EVENTS, least=1000, most=1_000_000)
    alone: list[Drained] = []
    audited: list[Drained] = []
    for turn in bench.turns:
        async with fresh_environment(bench.stack) as environment:
            alone.append(await drain(environment, events=events))
        async with fresh_environment(bench.stack, audited=True) as environment:
            audited.append(await drain(environment, events=events))
        bench.note(
            f"turn {turn + 1}: queue {alone[-1].rate:,.0f}/s,"
            f" queue and stream {audited[-1].rate:,.0f}/s"
        )
    rates, others = [one.rate for one in audited], [one.rate for one in alone]
    return [
        Figure(
            "drain with the audit / without",
            median(audited).rate,
            "/s",
            "queue alone",
            median(alone).rate,
            compare(rates, others),
            cpu=median(audited).cpu,
            turns={"queue and stream": rates, "queue alone": others},
        )
    ]

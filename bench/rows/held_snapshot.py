"""The drain with a snapshot held open over a million published events, against without.

Without means the same log, vacuumed. A snapshot is held once by a session that only reads
(REPEATABLE READ), once by one that has written as well.
"""

from __future__ import annotations

from bench.drain import EVENTS, Drained, drain, median
from bench.environment import fresh_environment
from bench.figures import Bench, Figure, compare, setting
from bench.published_log import Holder, published_log


async def run(bench: Bench) -> list[Figure]:
    events = setting("BENCH_EVENTS", EVENTS, least=1000, most=1_000_000)
    rows = setting("BENCH_LOG_ROWS", 1_000_000, least=1000)
    drains: dict[Holder, list[Drained]] = {holder: [] for holder in Holder}
    # One turn a round: to make the logs takes longer than to drain.
    for turn in range(bench.rounds):
        for holder in list(Holder) if turn % 2 else reversed(Holder):
            drains[holder].append(await _drained(bench, holder, events, rows))
        bench.note(
            f"turn {turn + 1}: "
            + ", ".join(f"{one} {drains[one][-1].rate:,.0f}/s" for one in Holder)
        )
    return [_figure(holder, drains) for holder in Holder if holder is not Holder.NOBODY]


async def _drained(bench: Bench, holder: Holder, events: int, rows: int) -> Drained:
    async with (
        fresh_environment(bench.stack) as environment,
        published_log(environment, rows, holder),
    ):
        return await drain(environment, events=events)


def _figure(holder: Holder, drains: dict[Holder, list[Drained]]) -> Figure:
    held, free = drains[holder], drains[Holder.NOBODY]
    return Figure(
        f"drain, snapshot held by a {holder}",
        median(held).rate,
        "/s",
        "nobody holds one",
        median(free).rate,
        compare([one.rate for one in held], [one.rate for one in free]),
        least=0.80,
        aim=0.95,
        cpu=median(held).cpu,
        turns={"held": [one.rate for one in held], "not held": [one.rate for one in free]},
    )

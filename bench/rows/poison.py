"""One poison event among 10,000: from the commit to the effect of the others, at 400 a second.

Beside it the same run without it. Both moments are by the database's clock.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from bench.drain import RELAY
from bench.environment import SOURCE, Environment, fresh_environment
from bench.events import OrderCreated
from bench.figures import Bench, Better, Figure, compare, setting
from bench.open_loop_load import Journey, percentile, send_at_rate
from bench.subject_process import subject_process
from outbox import Outbox, Work, open_work

EVENTS, RATE, AGGREGATES, WARM_UP = 10_000, 400, 100, 400
POISONED, WHOLE = "one poisoned", "none poisoned"
ARRIVE_WITHIN = 120.0
_LATENCIES = """
SELECT extract(epoch FROM e.at - o.created_at)::float8 * 1000
  FROM effects e JOIN outbox o USING (aggregate_id, sequence) WHERE o.id > %s
"""
_PARKED = "SELECT count(*) FROM inbox_parked"
_EFFECTS = "SELECT count(*) FROM effects"


async def run(bench: Bench) -> list[Figure]:
    count = setting("BENCH_POISON_EVENTS", EVENTS, least=1000, most=1_000_000)
    found: dict[str, list[float]] = {WHOLE: [], POISONED: []}
    for turn in bench.turns:
        for name, values in found.items():
            async with fresh_environment(bench.stack) as environment:
                poison = count // 3 if name == POISONED else -1
                values.append(await _p99(environment, count, poison))
        bench.note(
            f"turn {turn + 1}: " + ", ".join(f"{n} {v[-1]:.1f} ms" for n, v in found.items())
        )
    return [
        Figure(
            "commit → effect of the others, p99",
            statistics.median(found[POISONED]),
            "ms",
            WHOLE,
            statistics.median(found[WHOLE]),
            compare(found[POISONED], found[WHOLE]),
            least=2.0,
            better=Better.LOWER,
            turns=found,
        )
    ]


async def _p99(environment: Environment, count: int, poison: int) -> float:
    """The poisoned event and those behind it have no effect, and are not asked for."""
    async with (
        subject_process(RELAY, environment) as relay,
        subject_process("consumer", environment, "poison", str(poison)),
    ):
        await relay.until(lambda usage: usage.ready and usage.lanes > 0)
        async with open_work(
            environment.engine(), environment.database_url, Outbox(SOURCE)
        ) as work:
            await send_at_rate(
                Journey(), lambda number: _commit(work, number), rate=RATE, count=count
            )
        behind = len(range(poison, count, AGGREGATES)) if poison >= 0 else 0
        await asyncio.to_thread(_wait, environment, count - behind, behind)
    with environment.connect() as connection:
        return percentile(
            [float(str(ms)) for (ms,) in connection.execute(_LATENCIES, [WARM_UP])], 99
        )


async def _commit(work: Work, number: int) -> float:
    async with work.begin() as unit:
        await unit.emit(OrderCreated(number, AGGREGATES))
    return time.perf_counter()


def _wait(environment: Environment, effects: int, parked: int) -> None:
    until = time.monotonic() + ARRIVE_WITHIN
    with environment.connect() as connection:
        while (found := [connection.execute(q).fetchone() for q in (_EFFECTS, _PARKED)]) != [
            (effects,),
            (parked,),
        ]:
            if time.monotonic() > until:
                raise TimeoutError(f"{found} effects and parked, not {effects} and {parked}")
            time.sleep(0.1)

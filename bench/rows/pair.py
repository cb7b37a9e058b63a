"""Orders through both services, from POST until they are settled, beside pgbench.

Both services run natively, one process a role, with the system's own PostgreSQL and RabbitMQ. A
client of a closed loop posts its next order when the last one is settled, so its backlog is
bounded; without pause it posts when the last one is answered. An open loop posts at a fixed rate.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import psycopg

from bench.figures import Bench, Better, Figure, Judged, compare, setting
from bench.journeys import Journeys, watched
from bench.load import post
from bench.pair_loads import Measured, Pair
from bench.rows.post_orders import ORDER, pgbench
from devstack.native.system import CHECKOUT, Layout, System

SECONDS, WARM_UP = 20, 3
LOW, RATES = 50, "100 200 400 600 700"
USER = "pair"
FLAT = "pair: flat backlog"
"""The first figure: that of another load once more, with its bounds."""
_COUNTS = """
SELECT count(*), count(*) FILTER (WHERE status IN ('COMPLETED', 'FAILED')),
       (SELECT count(*) FROM order_history h JOIN orders o ON o.id = h.order_id
         WHERE o.user_id = %(user)s)
  FROM orders WHERE user_id = %(user)s
"""

Run = Callable[[Pair, int], Coroutine[Any, Any, Measured]]


async def run(bench: Bench) -> list[Figure]:
    """Each turn runs every load once, and pgbench."""
    seconds = setting("BENCH_PAIR_SECONDS", SECONDS, least=2, most=3600)
    loads = _loads()
    found: dict[str, list[Measured]] = {name: [] for name in loads}
    theirs: list[float] = []
    with System(Layout(CHECKOUT, bench.stack.home / "pair")) as system:
        async with order_journeys(system) as journeys:
            pair = Pair(system, journeys)
            found["warming up"] = [await pair.closed(16, WARM_UP)]
            for turn in bench.turns:
                theirs.append(await asyncio.to_thread(pgbench, system, bench.stack.home))
                bench.note(f"turn {turn + 1}: pgbench {theirs[-1]:,.0f}/s")
                for name, load in loads.items():
                    found[name].append(await load(pair, seconds))
                    bench.note(f"turn {turn + 1}: {name}: {found[name][-1]}")
        await asyncio.to_thread(_check, system, [run for runs in found.values() for run in runs])
    del found["warming up"]
    return _figures(found, theirs)


@asynccontextmanager
async def order_journeys(system: System) -> AsyncIterator[Journeys]:
    """Orders of one user, followed until they are settled."""
    request = post("/api/v1/orders", json.dumps({**ORDER, "user_id": USER}).encode())
    url = system.environment["orders"]["DATABASE_URL_ORDERS"]
    async with watched(Journeys(system.urls["orders"], lambda _: request), url) as journeys:
        yield journeys


def rates() -> list[int]:
    """The fixed rates, from the environment."""
    return [int(rate) for rate in os.environ.get("BENCH_PAIR_RATES", RATES).split()]


def _loads() -> dict[str, Run]:
    loads: dict[str, Run] = {
        "16 clients": lambda pair, seconds: pair.closed(16, seconds),
        "64 clients": lambda pair, seconds: pair.closed(64, seconds),
        "64 clients without pause": lambda pair, s: pair.closed(64, s, to_end=False),
    }
    for rate in (LOW, *rates()):
        loads[f"{rate} a second"] = _open(rate)
    return loads


def _open(rate: int) -> Run:
    return lambda pair, seconds: pair.open(rate, seconds)


def _check(system: System, runs: list[Measured]) -> None:
    """Every order that was answered is settled, once. A refused one may be stored all the same."""
    with psycopg.connect(system.environment["orders"]["DATABASE_URL_ORDERS"]) as connection:
        [(stored, settled, history)] = connection.execute(_COUNTS, {"user": USER}).fetchall()
    posted = sum(run.posted for run in runs)
    refused = sum(run.refused for run in runs)
    whole = settled == stored and history == 2 * stored
    if not whole or not posted <= stored <= posted + refused:
        counts = f"{stored} are stored, {settled} settled, {history} lines of history"
        raise RuntimeError(f"{posted} orders were answered, {refused} refused; {counts}")


def _figures(found: dict[str, list[Measured]], theirs: list[float]) -> list[Figure]:
    figures = [load_figure(f"pair: {name}", runs, theirs) for name, runs in found.items()]
    flat = [
        figure
        for figure, runs in zip(figures, found.values(), strict=True)
        if all(run.flat for run in runs)
    ]
    best = max(flat, key=lambda figure: figure.ratio or 0, default=None)
    if best is not None:
        said = f"the highest of the loads whose backlog stayed flat ({best.name})"
        best = replace(best, name=FLAT, least=0.25, aim=0.4, remark=said)
        figures = [best, *figures]
    low = found[f"{LOW} a second"]
    pause = [run.answer[1] for run in found["64 clients without pause"]]
    return [
        *figures,
        _latency("pair: POST p99, 64 clients without pause", pause, 150, 60),
        _latency(f"pair: POST → settled at {LOW}/s, p50", [run.end[0] for run in low], 20, 10),
        _latency(f"pair: POST → settled at {LOW}/s, p99", [run.end[1] for run in low], 60, 30),
    ]


def load_figure(name: str, runs: list[Measured], theirs: list[float]) -> Figure:
    """Settled journeys a second beside pgbench; all else is in the remark and in the turns."""
    settled = [run.settled for run in runs]
    turns = {"settled": settled, "pgbench": theirs}
    for place, percent in enumerate(("p50", "p99")):
        turns[f"answered {percent}"] = [run.answer[place] for run in runs]
        turns[f"settled {percent}"] = [run.end[place] for run in runs]
    for process in runs[0].cpu:
        turns[f"CPU µs {process}"] = [run.cpu[process] for run in runs]
    turns["unfinished"] = [float(run.lag.unfinished) for run in runs]
    middle = sorted(runs, key=lambda run: run.settled)[len(runs) // 2]
    return Figure(
        name,
        statistics.median(settled),
        "/s",
        "pgbench",
        statistics.median(theirs),
        compare(settled, theirs),
        cpu=statistics.median(run.system_cpu for run in runs),
        offered=runs[0].offered,
        remark=str(middle),
        turns=turns,
    )


def _latency(name: str, values: list[float], least: float, aim: float) -> Figure:
    return Figure(
        name,
        statistics.median(values),
        "ms",
        least=least,
        aim=aim,
        judged=Judged.MEASURED,
        better=Better.LOWER,
        turns={name: values},
    )

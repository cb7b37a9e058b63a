"""What the six Python processes cost while nothing happens, and at ten orders a second.

Beside it what a wake-up costs here, because little load is mostly wake-ups.

The system runs natively with an API, a worker, the stubs and the supervisor. Its CPU times are read
from `/proc`. Nothing asks it anything while it rests, so what it uses is its own polling.
"""

from __future__ import annotations

import asyncio
import statistics
import time

from bench.figures import Bench, Better, Figure, Judged, compare, setting
from bench.pair_loads import Measured, Pair
from bench.process_usage import PYTHON, CpuTimes, used
from bench.rows.pair import order_journeys
from bench.wake_ups import statement_cost
from devstack.native.system import CHECKOUT, Layout, System

SECONDS, SETTLE, RATE = 20, 15, 10
PROCESSES = (*PYTHON, "supervisor")


async def run(bench: Bench) -> list[Figure]:
    """Each turn measures the rest first, then the low load."""
    seconds = setting("BENCH_REST_SECONDS", SECONDS, least=5, most=3600)
    resting: list[dict[str, float]] = []
    loaded: list[Measured] = []
    statements: list[tuple[float, float]] = []
    with System(Layout(CHECKOUT, bench.stack.home / "rest")) as system:
        async with order_journeys(system) as journeys:
            pair = Pair(system, journeys)
            for turn in bench.turns:
                await asyncio.sleep(SETTLE)
                resting.append(await _rest(system, seconds))
                bench.note(f"turn {turn + 1}: at rest {_said(resting[-1])}")
                url = system.environment["orders"]["DATABASE_URL_ORDERS"]
                statements.append(await asyncio.to_thread(statement_cost, url))
                with_pauses, in_a_row = statements[-1]
                says = f"{with_pauses:.0f} µs every 20 ms, {in_a_row:.0f} µs in a row"
                bench.note(f"turn {turn + 1}: a statement that does nothing costs {says}")
                loaded.append(await pair.open(RATE, seconds))
                bench.note(f"turn {turn + 1}: {RATE} orders a second: {loaded[-1]}")
    return [_at_rest(resting), _at_low_load(loaded), _of_statements(statements)]


async def _rest(system: System, seconds: float) -> dict[str, float]:
    """Percent of a core, by process."""
    times = CpuTimes(system)
    before, began = times.read(), time.perf_counter()
    await asyncio.sleep(seconds)
    spent, took = used(before, times.read()), time.perf_counter() - began
    return {name: spent[name] / took * 100 for name in PROCESSES}


def _at_rest(turns: list[dict[str, float]]) -> Figure:
    together = [sum(turn.values()) for turn in turns]
    return Figure(
        "rest: six Python processes together",
        statistics.median(together),
        "% of a core",
        least=3,
        aim=1,
        judged=Judged.MEASURED,
        better=Better.LOWER,
        remark=_said(turns[-1]),
        turns={name: [turn[name] for turn in turns] for name in PROCESSES},
    )


def _at_low_load(runs: list[Measured]) -> Figure:
    """Microseconds for an order, which at this rate include what the processes use at rest."""
    together = [sum(run.cpu[name] for name in PROCESSES) for run in runs]
    return Figure(
        f"rest: six Python processes at {RATE} orders/s",
        statistics.median(together),
        "µs/order",
        better=Better.LOWER,
        remark=str(runs[-1]),
        turns={name: [run.cpu[name] for run in runs] for name in PROCESSES},
    )


def _of_statements(turns: list[tuple[float, float]]) -> Figure:
    with_pauses, in_a_row = (list(column) for column in zip(*turns, strict=True))
    return Figure(
        "a statement that does nothing, every 20 ms",
        statistics.median(with_pauses),
        "µs of CPU",
        "in a row",
        statistics.median(in_a_row),
        compare(with_pauses, in_a_row),
        better=Better.LOWER,
        turns={"every 20 ms": with_pauses, "in a row": in_a_row},
    )


def _said(percents: dict[str, float]) -> str:
    return ", ".join(f"{name} {percent:.2f} %" for name, percent in percents.items())

"""Random faults on both sides; then the two databases alone are checked.

`CHAOS_FAULTS` is the number of faults, `CHAOS_SEED` their choice, `CHAOS_SECONDS` the time limit.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from chaos import commands
from chaos.faults import STEPS, Faults
from chaos.fleet import Fleet
from chaos.quiescence import Progress, settled
from chaos.scenario import KITCHEN, SHOP, Environment
from chaos.workload import Workload
from devstack.native.system import System
from kit.waiting import eventually

FAULTS = int(os.environ.get("CHAOS_FAULTS") or 36)
SECONDS = int(os.environ.get("CHAOS_SECONDS") or 1200)
SEED = int(os.environ.get("CHAOS_SEED") or 20261121)
ROUND = 100
CONSUMERS = {SHOP: 2, KITCHEN: 4}
"""So many processes of eight workers each compete for the queue of a side."""
ENOUGH_FOR_EACH_STEP = 200
"""Faults after which each step, a pause and an opened breaker must have been seen."""
CRASHES = "6"
"""The run may kill a process three times during one event, but not six times in a row."""
MEND = "INSERT INTO mended SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING"
POISONED = "SELECT token FROM written WHERE kind <> ''"


@pytest.mark.timeout(SECONDS)
async def test_random_faults_lose_double_and_misorder_nothing(
    machines: System, environment: Environment, fleet: Fleet
) -> None:
    print(f"\nCHAOS_SEED={SEED} CHAOS_FAULTS={FAULTS}", flush=True)
    rng = random.Random(SEED)
    workload = Workload(random.Random(rng.random()))
    faults = Faults(machines, environment, fleet, workload, rng)
    for side in (SHOP, KITCHEN):
        fleet.add("relay", side.name, 2)
        fleet.add("consumer", side.name, CONSUMERS[side], CHAOS_CRASHES=CRASHES)
    seen = Counter[str]()
    try:
        while faults.done.total() < FAULTS:
            await play(environment, faults, workload, min(ROUND, FAULTS - faults.done.total()))
            await faults.pauses.end()
            seen += await check_round(environment) - Counter(applied=seen["applied"])
            print(f"{faults.done.total()} faults, {dict(seen)}", flush=True)
    except BaseException:
        print(f"failed with CHAOS_SEED={SEED} after {dict(faults.done)}", flush=True)
        raise
    print(f"faults {dict(faults.done)}\nends of processes {dict(fleet.ends)}", flush=True)
    pauses, openings = faults.pauses.begun, len(faults.tripped_at)
    print(f"{pauses} pauses, {openings} openings of a breaker", flush=True)
    reached = {step for step in STEPS if fleet.ends[step]}
    assert FAULTS < ENOUGH_FOR_EACH_STEP or (reached == set(STEPS) and pauses and openings)


async def play(environment: Environment, faults: Faults, workload: Workload, count: int) -> None:
    """Inject `count` faults while events are written."""
    async with writing(environment, workload):
        for _ in range(count):
            await faults.one()
            # The pause is random, so that faults meet every stage of the work.
            await asyncio.sleep(faults.rng.uniform(0.05, 0.9))


@asynccontextmanager
async def writing(environment: Environment, workload: Workload) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(workload.write(environment, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def check_round(environment: Environment) -> Counter[str]:
    """Check with all harm in place, then mend handlers, when every effect must be there once."""
    found = Counter[str]()
    for report in await settled(environment):
        found["parked"] += report.waiting
    for side in (KITCHEN, SHOP):
        assert not await commands.missing_events(environment, side)
    with environment.connect(SHOP) as connection:
        poisoned = [token for (token,) in connection.execute(POISONED).fetchall()]
    with environment.connect(KITCHEN) as connection:
        mended = connection.execute(MEND, [poisoned])
        found["poison"] = mended.rowcount
    await redrive(environment)
    found["applied"] = sum(report.events for report in await settled(environment))
    await eventually(lambda: all_types_pass(environment))
    return found


async def all_types_pass(environment: Environment) -> bool:
    """Whether nothing is paused, and nothing is tripped any more."""
    for side in (KITCHEN, SHOP):
        assert not await commands.paused(environment, side)
        if await commands.tripped(environment, side):
            return False
    return True


async def redrive(environment: Environment) -> None:
    """What is parked for a person, until nothing is. What was lost is back by itself before."""
    progress = Progress()
    while True:
        for side in (KITCHEN, SHOP):
            await commands.redrive(environment, side)
        reports = await settled(environment)
        if not any(report.waiting for report in reports):
            return
        assert progress.is_made_by(reports), "the commands mend nothing more"

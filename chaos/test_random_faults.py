"""Random faults against both sides, again and again; then only the two databases are asked.

`CHAOS_FAULTS` says how many, `CHAOS_SEED` which, `CHAOS_SECONDS` when it is too late for all.
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
from chaos.calm import settled
from chaos.checker import Verdict
from chaos.faults import STEPS, Faults
from chaos.fleet import Fleet
from chaos.sides import KITCHEN, SHOP, Place, Side
from chaos.writers import Writers
from devstack.native.system import System
from kit.waiting import eventually

FAULTS = int(os.environ.get("CHAOS_FAULTS") or 25)
SECONDS = int(os.environ.get("CHAOS_SECONDS") or 1200)
SEED = int(os.environ.get("CHAOS_SEED") or 20261121)
ROUND = 100
ENOUGH_FOR_EACH_STEP = 200
CRASHES = "6"
"""An event is no poison because we killed its process three times; six times in a row we do not."""
MEND = "INSERT INTO mended SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING"
POISONED = "SELECT token FROM written WHERE kind <> ''"


@pytest.mark.timeout(SECONDS)
async def test_random_faults_lose_double_and_misorder_nothing(
    machines: System, place: Place, fleet: Fleet
) -> None:
    print(f"\nCHAOS_SEED={SEED} CHAOS_FAULTS={FAULTS}", flush=True)
    rng = random.Random(SEED)
    writers = Writers(random.Random(rng.random()))
    faults = Faults(machines, place, fleet, writers, rng)
    for side in (SHOP, KITCHEN):
        fleet.add("relay", side.name, 2)
        fleet.add("consumer", side.name, 2, CHAOS_CRASHES=CRASHES)
    seen = Counter[str]()
    try:
        while faults.done.total() < FAULTS:
            await play(place, faults, writers, min(ROUND, FAULTS - faults.done.total()))
            seen += await judge(place) - Counter(applied=seen["applied"])
            print(f"{faults.done.total()} faults, {dict(seen)}", flush=True)
    except BaseException:
        print(f"failed with CHAOS_SEED={SEED} after {dict(faults.done)}", flush=True)
        raise
    print(f"faults {dict(faults.done)}\nends of processes {dict(fleet.ends)}", flush=True)
    reached = {step for step in STEPS if fleet.ends[step]}
    assert FAULTS < ENOUGH_FOR_EACH_STEP or reached == set(STEPS)


async def play(place: Place, faults: Faults, writers: Writers, count: int) -> None:
    """So many faults while events are written."""
    async with writing(place, writers):
        for _ in range(count):
            await faults.one()
            # Chance decides how far things get between two faults.
            await asyncio.sleep(faults.rng.uniform(0.05, 0.9))


@asynccontextmanager
async def writing(place: Place, writers: Writers) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(writers.write(place, stop))
    try:
        yield
    finally:
        stop.set()
        await task


async def judge(place: Place) -> Counter[str]:
    """First with all harm in place, then mended, when every effect must be there once."""
    found = Counter[str]()
    for side, verdict in zip((KITCHEN, SHOP), await settled(place), strict=True):
        await notices(place, side, verdict)
        found.update(parked=verdict.waiting, lost=len(verdict.absent), gaps=len(verdict.gaps))
    with place.connect(SHOP) as connection:
        poisoned = [token for (token,) in connection.execute(POISONED).fetchall()]
    with place.connect(KITCHEN) as connection:
        mended = connection.execute(MEND, [poisoned])
        found["poison"] = mended.rowcount
    await heal(place)
    found["applied"] = sum(verdict.events for verdict in await settled(place))
    return found


async def notices(place: Place, side: Side, verdict: Verdict) -> None:
    """What was stolen is what reconcile misses; what has a follower is a gap at once."""
    assert await commands.holes(place, side) == set(verdict.absent)
    assert verdict.gaps <= await commands.gaps(place, side)


async def heal(place: Place) -> None:
    """By the commands alone: replay what is missed, redrive what is parked."""

    async def whole() -> bool:
        missed = 0
        for side in (KITCHEN, SHOP):
            missed += len(await commands.holes(place, side))
            if missed:
                await commands.replay(place, commands.producer_of(side), "--since", "1h")
            await commands.redrive(place, side)
        verdicts = await settled(place)
        return not any(verdict.absent or verdict.waiting for verdict in verdicts)

    await eventually(whole, within=180)

"""What is only late is not asked for: while nothing is lost, no consumer sends a request.

`CHAOS_LATE_SECONDS` is how long one side stands still: longer than an event may be on its way.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal

import pytest

from chaos.fleet import Fleet
from chaos.quiescence import settled
from chaos.scenario import KITCHEN, SHOP, Environment
from chaos.workload import Workload
from kit.waiting import eventually
from outbox.resend_events import RESENDING

LATE = float(os.environ.get("CHAOS_LATE_SECONDS") or 20)
ON_ITS_WAY = "8"
"""Seconds until an event that a beacon shows counts as missing."""
TOLD = "SELECT coalesce(max(number), 0) FROM outbox_beacons WHERE aggregate_type = 'order'"
HEARD = "SELECT coalesce(max(number), 0) FROM inbox_beacons WHERE aggregate_type = 'order'"
SUSPECTED = "SELECT count(*) FROM inbox_missing"
ASKED = "SELECT count(*) FROM outbox WHERE aggregate_type = %s"


@pytest.mark.timeout(LATE + 180)
@pytest.mark.parametrize("role", ["consumer", "relay"])
async def test_a_side_that_stood_still_makes_nobody_ask(
    environment: Environment, fleet: Fleet, role: str
) -> None:
    for side in (SHOP, KITCHEN):
        fleet.add("relay", side.name, 1)
        fleet.add("consumer", side.name, 2, CHAOS_MISSING_AFTER=ON_ITS_WAY)
    await write(environment, 1)
    slots = fleet.of(role, (KITCHEN if role == "consumer" else SHOP).name)
    await fleet.keep_down(slots, signal.SIGTERM)
    await write(environment, LATE)
    fleet.release(slots)
    await no_request(environment)


@pytest.mark.timeout(LATE + 180)
async def test_a_release_without_beacons_in_turn_with_one_that_has_them_makes_nobody_ask(
    environment: Environment, fleet: Fleet
) -> None:
    fleet.add("relay", SHOP.name, 1, CHAOS_BEACONS="off")
    fleet.add("relay", SHOP.name, 1)
    fleet.add("relay", KITCHEN.name, 1, CHAOS_BEACONS="off")
    for side in (SHOP, KITCHEN):
        fleet.add("consumer", side.name, 1, CHAOS_MISSING_AFTER=ON_ITS_WAY)
    old, new = fleet.of("relay", SHOP.name)
    for publishes, rests in ((old, new), (new, old), (old, new), (new, old)):
        await fleet.keep_down([rests], signal.SIGTERM)
        fleet.release([publishes])
        await write(environment, LATE / 4)
    await no_request(environment)


async def write(environment: Environment, seconds: float) -> None:
    """Write events for so long."""
    stop = asyncio.Event()
    writing = asyncio.create_task(Workload(random.Random(1)).write(environment, stop))
    await asyncio.sleep(seconds)
    stop.set()
    await writing


async def no_request(environment: Environment) -> None:
    """Every effect came, every beacon was read, nothing is suspected, and nobody has asked."""
    await settled(environment)
    await eventually(lambda: all_is_known(environment))
    for side in (SHOP, KITCHEN):
        with environment.connect(side) as connection:
            assert connection.execute(ASKED, [RESENDING]).fetchone() == (0,)


async def all_is_known(environment: Environment) -> bool:
    with environment.connect(SHOP) as shop, environment.connect(KITCHEN) as kitchen:
        told, heard = shop.execute(TOLD).fetchone(), kitchen.execute(HEARD).fetchone()
        return told == heard != (0,) and kitchen.execute(SUSPECTED).fetchone() == (0,)

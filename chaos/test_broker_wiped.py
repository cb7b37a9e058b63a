"""The broker loses everything in mid-run; one command a side brings every effect, once."""

from __future__ import annotations

import asyncio
import random

import pytest

from chaos import commands, hand, stack
from chaos.calm import settled
from chaos.fleet import Fleet
from chaos.sides import KITCHEN, SHOP, Place
from chaos.writers import Writers
from devstack.native.system import System
from kit.waiting import eventually


@pytest.mark.timeout(180)
async def test_a_wiped_broker_is_replayed_and_every_effect_comes_once(
    machines: System, place: Place, fleet: Fleet
) -> None:
    for side in (SHOP, KITCHEN):
        fleet.add("relay", side.name, 2)
        fleet.add("consumer", side.name, 2)
    stop = asyncio.Event()
    writing = asyncio.create_task(Writers(random.Random(1)).write(place, stop))
    await eventually(lambda: applied(place, 100))
    consumers = fleet.of("consumer", "kitchen")
    await fleet.hold(consumers)
    await eventually(lambda: queued(place, 50))
    await asyncio.to_thread(stack.wipe_broker, machines)
    fleet.let_go(consumers)
    await eventually(lambda: applied(place, 150))
    stop.set()
    await writing

    await eventually(lambda: published(place))
    assert await commands.holes(place, KITCHEN), "the broker had nothing to lose"
    for side in (SHOP, KITCHEN):
        assert await commands.replay(place, side, "--since", "1h")
    for verdict in await settled(place):
        assert not verdict.waiting
        assert verdict.events > 150
    for side in (SHOP, KITCHEN):
        assert not await commands.holes(place, side)


async def applied(place: Place, count: int) -> bool:
    with place.connect(SHOP) as connection:
        [(found,)] = connection.execute("SELECT count(*) FROM effects").fetchall()
    return int(str(found)) >= count


async def queued(place: Place, count: int) -> bool:
    return await hand.messages(place, KITCHEN) >= count


async def published(place: Place) -> bool:
    """Whether nothing is on its way to the broker, and nothing in it."""
    for side in (SHOP, KITCHEN):
        with place.connect(side) as connection:
            waiting = "SELECT count(*) FROM outbox WHERE published_at IS NULL"
            if connection.execute(waiting).fetchone() != (0,):
                return False
        if not await hand.is_empty(place, side):
            return False
    return True

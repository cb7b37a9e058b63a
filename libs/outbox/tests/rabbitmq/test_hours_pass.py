"""An hour that passes, or that a clock was wrong by, makes nobody ask with the default waits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.outbox.beacons import (
    WITH_WAY_BACK,
    asked_ranges,
    has_beacons,
    has_number,
    has_sent_beacons,
    misses,
    purge,
    requests,
)
from kit.outbox.clock import hours_pass, install_with_clock, use_clock
from kit.outbox.deliveries import effects, has_effects, record
from kit.outbox.world import QUEUE, SOURCE, Happened, World, running, world_in
from kit.servers import addresses
from kit.servers.databases import filled_database
from kit.waiting import eventually
from outbox import Consumer
from outbox.operations.controls import OfQueue, pause, resume

NAMES = [f"s{n}" for n in range(20)]
LAST = "SELECT coalesce(max(number), 0) FROM outbox_beacons"


@pytest.fixture
async def world(broker_url: str) -> AsyncIterator[World]:
    with filled_database(addresses.postgres(), install_with_clock) as url:
        use_clock(url)
        async with world_in(url, broker_url) as world:
            world.topology = WITH_WAY_BACK
            yield world


def asking(world: World) -> Consumer:
    return world.consumer(record, resend=[SOURCE])


async def emit(world: World, times: int = 1) -> None:
    """An event of each stream, `times` times."""
    for _ in range(times):
        await world.emit(*(Happened(name) for name in NAMES))


async def publish(world: World, times: int, *, beacons: float = 1) -> None:
    """Events, until they and a beacon about them are published."""
    [(before,)] = await world.rows(LAST)
    async with running(world.relay(beacon_every=beacons)):
        await emit(world, times)
        await eventually(lambda: world.has_unpublished(0))
        if beacons:
            await eventually(lambda: has_sent_beacons(world, beyond=before))


async def no_request_was_sent(world: World, times: int) -> None:
    """All has taken effect, the last beacon was compared, and nothing is missed."""
    await eventually(lambda: has_effects(world, times * len(NAMES)))
    [(last,)] = await world.rows(LAST)
    await eventually(lambda: has_number(world, int(str(last))))
    await eventually(lambda: misses(world, {}))
    assert await requests(world) == []
    assert await effects(world) == {name: [*range(1, times + 1)] for name in NAMES}


async def test_a_producer_that_pauses_for_an_hour(world: World) -> None:
    async with running(asking(world)):
        await publish(world, 2)
        await eventually(lambda: has_beacons(world))
        await emit(world)
        await hours_pass(world, 1)
        await publish(world, 1)
        await no_request_was_sent(world, 4)


async def test_a_consumer_that_is_an_hour_behind(world: World) -> None:
    async with running(asking(world)):
        await publish(world, 1)
        await eventually(lambda: has_beacons(world))
    for _ in range(3):
        await publish(world, 5)
        await hours_pass(world, 1)
    async with running(asking(world)):
        await no_request_was_sent(world, 16)


async def test_a_queue_that_is_paused_for_an_hour(world: World) -> None:
    async with running(asking(world)):
        await publish(world, 1)
        await eventually(lambda: has_beacons(world))
        async with await world.psycopg() as connection:
            await pause(connection, OfQueue(QUEUE), by="a test")
            await publish(world, 3)
            await hours_pass(world, 1)
            await publish(world, 3)
            await resume(connection, OfQueue(QUEUE))
        await no_request_was_sent(world, 7)


async def test_releases_of_which_one_knows_no_beacons(world: World) -> None:
    async with running(asking(world)):
        for beacons in (1, 0, 1, 0, 1):
            await publish(world, 1, beacons=beacons)
            await hours_pass(world, 1)
        await no_request_was_sent(world, 5)


async def test_a_clock_that_was_an_hour_ahead_stops_no_beacons(world: World) -> None:
    async with running(asking(world)):
        for hours in (0, 1, -1):
            await hours_pass(world, hours)
            await publish(world, 1)
        await no_request_was_sent(world, 3)


async def test_what_is_lost_is_asked_for_after_the_same_hour(world: World) -> None:
    async with running(asking(world)):
        await publish(world, 1)
        await eventually(lambda: has_beacons(world))
    async with running(world.relay(beacon_every=0)):
        await emit(world)
        await eventually(lambda: world.has_unpublished(0))
    await purge(world)
    await hours_pass(world, 1)
    async with running(asking(world)):
        await publish(world, 0)
        await eventually(lambda: misses(world, dict.fromkeys(NAMES, "{[2,3)}")))
        await hours_pass(world, 1)
        await eventually(lambda: asks_for_all(world))


async def asks_for_all(world: World) -> bool:
    return await asked_ranges(world) == dict.fromkeys(NAMES, ((2, 2),))

"""Beacons and sequences that no honest producer sends stop neither the consumer nor the search."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from kit.outbox.beacons import asks, beacon, chain, has_number, misses, requests, send
from kit.outbox.deliveries import events, publish, queue_is_empty, record
from kit.outbox.operator import say
from kit.outbox.world import QUEUE, SOURCE, World, running
from kit.waiting import eventually
from outbox import Consumer, metrics
from outbox.cli.running import FOUND
from outbox.event import MAX_SEQUENCE
from outbox.inbox import beacons as received
from outbox.rabbitmq.beacons import Beacon

BEYOND = MAX_SEQUENCE + 1
"""A bigint, with which no range can end."""
IN_TOKYO = """
DO $$BEGIN
  EXECUTE format('ALTER DATABASE %%I SET timezone = ''Asia/Tokyo''', current_database());
END$$
"""
LAST = datetime(9999, 12, 31, 23, tzinfo=UTC)
"""It is another year in Tokyo, which Python does not know."""


def asking(world: World) -> Consumer:
    return world.consumer(record, resend=[SOURCE], missing_after=0.5)


def recent(number: int, since: datetime, **streams: int) -> Beacon:
    """A beacon about the time since then."""
    return replace(beacon(number, **streams), since=since, until=datetime.now(UTC))


async def asks_for(world: World, name: str) -> bool:
    return any(one.aggregate_id == name for found in await requests(world) for one in found.streams)


async def shows_as_asked(events: int) -> bool:
    return bool(metrics.MISSING.labels(QUEUE, "asked")._value.get() >= events)


async def test_a_beacon_of_a_sequence_that_cannot_be_is_a_dead_letter(world: World) -> None:
    async with running(asking(world)):
        await send(world, beacon(1, a=BEYOND), beacon(1, b=1))
        await eventually(lambda: misses(world, {"b": "{[1,2)}"}))
        await eventually(lambda: queue_is_empty(world))


async def test_a_gap_up_to_the_largest_sequence_does_not_stop_the_search(world: World) -> None:
    [first] = events(1, "a")
    async with running(asking(world)):
        await publish(world, *(replace(first, sequence=n) for n in (BEYOND, MAX_SEQUENCE)))
        await send(world, beacon(1, b=1))
        await eventually(lambda: asks_for(world, "b"))


async def test_more_missing_events_than_a_bigint_counts_are_shown(world: World) -> None:
    async with running(asking(world)):
        await send(world, beacon(1, a=MAX_SEQUENCE, b=MAX_SEQUENCE, c=1))
        await eventually(lambda: asks(world, 1))
        await eventually(lambda: shows_as_asked(MAX_SEQUENCE))
        where = {"DATABASE_URL": world.database_url}
        assert f"{MAX_SEQUENCE} events of shop" in (await say(where, "doctor", status=FOUND)).out


@pytest.mark.parametrize("number", [2, MAX_SEQUENCE])
async def test_a_beacon_from_the_future_hides_no_later_loss(
    world: World, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """The clock of its source is wrong for a while, or it is forged."""
    monkeypatch.setattr(received, "PATIENCE", 0.1)
    await world.execute(IN_TOKYO)
    async with running(world.consumer(record)):
        await send(world, beacon(1), replace(beacon(2), number=number, until=LAST))
        await eventually(lambda: has_number(world, number))
        await send(world, recent(5, datetime.now(UTC) - timedelta(minutes=1)))
        await eventually(lambda: has_number(world, 5))
        _, hole = await chain(world)
        assert hole is not None
        assert hole <= datetime.now(UTC)
        await send(world, recent(6, hole, lost=1))
        await eventually(lambda: misses(world, {"lost": "{[1,2)}"}))
    assert await chain(world) == (6, None)

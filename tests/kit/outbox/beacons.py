"""Beacons past the relay; requests by which a consumer asks for what it misses, and answers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from kit.outbox.world import EXCHANGE, QUEUE, SOURCE, TAKES, World
from outbox import Consumer, ConsumerSettings, Subscription, Topology, resend_handlers
from outbox.rabbitmq.beacons import BEACONS, Beacon
from outbox.resend_events import RESENDING, Ranges, ResendRequested

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
WAY_BACK = Subscription(EXCHANGE, "shop.streams", SOURCE, (RESENDING,))
WITH_WAY_BACK = Topology([EXCHANGE], [TAKES, WAY_BACK])


def at(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def beacon(number: int, /, **streams: int) -> Beacon:
    """The beacon of a minute: the first one is about the first minute."""
    return Beacon(SOURCE, "order", number, at(number - 1), at(number), streams)


async def send(world: World, *beacons: Beacon) -> None:
    async with world.broker() as channel:
        exchange = await channel.get_exchange(BEACONS, ensure=False)
        for one in beacons:
            await exchange.publish(one.to_message(), one.routing_key)


def answering(world: World, **settings: Any) -> Consumer:
    """The consumer that answers requests; the world asks itself."""
    return Consumer(
        queue=WAY_BACK.queue,
        handlers=resend_handlers(WAY_BACK),
        work=world.work,
        broker_url=world.broker_url,
        topology=WITH_WAY_BACK,
        settings=ConsumerSettings(**settings),
    )


async def requests(world: World) -> list[ResendRequested]:
    """All that was asked for, in order."""
    found = await world.rows(
        "SELECT payload::text FROM outbox WHERE type = %s ORDER BY id", ResendRequested.type
    )
    return [ResendRequested.parse(str(payload).encode()) for (payload,) in found]


async def asks(world: World, count: int) -> bool:
    query = "SELECT count(*) >= %s FROM outbox WHERE type = %s"
    return await world.rows(query, count, ResendRequested.type) == [(True,)]


async def missing(world: World) -> Mapping[str, str]:
    """The sequences that are missing, by aggregate."""
    found = await world.rows(
        "SELECT aggregate_id, missing::text FROM inbox_missing WHERE consumer = %s", QUEUE
    )
    return {str(id_): str(sequences) for id_, sequences in found}


async def misses(world: World, expected: Mapping[str, str]) -> bool:
    return await missing(world) == expected


async def chain(world: World) -> tuple[int, datetime | None]:
    """The number of the last beacon, and since when there is a hole."""
    [(number, hole)] = await world.rows("SELECT number, hole_since FROM inbox_beacons")
    return int(str(number)), hole


async def has_number(world: World, number: int) -> bool:
    return await world.rows("SELECT FROM inbox_beacons WHERE number = %s", number) != []


async def has_beacons(world: World) -> bool:
    """Whether a beacon has come."""
    return await world.rows("SELECT FROM inbox_beacons WHERE number > 0") != []


async def has_sent_beacons(world: World, *, beyond: object) -> bool:
    """Whether a beacon with a higher number was published."""
    return await world.rows("SELECT FROM outbox_beacons WHERE number > %s", beyond) != []


async def asked_ranges(world: World) -> dict[str, Ranges]:
    """What was asked for of each aggregate, the last time."""
    found = [one for request in await requests(world) for one in request.streams]
    return {one.aggregate_id: one.ranges for one in found}


async def purge(world: World) -> None:
    """Lose what is in the queue."""
    async with world.broker() as channel:
        await (await channel.get_queue(QUEUE, ensure=False)).purge()

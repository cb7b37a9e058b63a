"""A consumer compares each beacon with its streams; what is no event takes no effect."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

import pytest
from aio_pika import Message

from kit.outbox.beacons import at, beacon, chain, has_beacons, has_number, misses, missing, send
from kit.outbox.deliveries import effects, events, has_effects, publish, queue_is_empty, record
from kit.outbox.world import EXCHANGE, QUEUE, SOURCE, World, running
from kit.waiting import eventually
from outbox import metrics
from outbox.inbox import beacons as received
from outbox.rabbitmq.beacons import BEACONS, Beacon
from outbox.rabbitmq.topology import dead_letters_of


async def test_a_consumer_that_is_up_to_date_notes_only_the_beacon(world: World) -> None:
    async with running(world.consumer(record)):
        await publish(world, *events(3, "a"))
        await eventually(lambda: has_effects(world, 3))
        await send(world, beacon(1, a=3))
        await eventually(lambda: has_number(world, 1))
        await eventually(lambda: queue_is_empty(world))
    assert await missing(world) == {}
    assert await effects(world) == {"a": [1, 2, 3]}
    assert await world.rows("SELECT DISTINCT aggregate_id FROM inbox") == [("a",)]


async def test_a_beacon_shows_the_lost_end_of_a_stream_and_a_stream_that_never_came(
    world: World,
) -> None:
    async with running(world.consumer(record)):
        await publish(world, *events(3, "a"))
        await eventually(lambda: has_effects(world, 3))
        await send(world, beacon(1, a=5, b=2))
        await eventually(lambda: misses(world, {"a": "{[4,6)}", "b": "{[1,3)}"}))
        await publish(world, *events(2, "a", first=4), *events(2, "b"))
        await eventually(lambda: misses(world, {}))
    assert await effects(world) == {"a": [1, 2, 3, 4, 5], "b": [1, 2]}


async def test_a_lost_beacon_leaves_a_hole_that_a_round_since_then_closes(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received, "PATIENCE", 0.2)
    async with running(world.consumer(record)):
        await send(world, beacon(1), beacon(3))
        await eventually(lambda: has_number(world, 3))
        assert await chain(world) == (3, at(1))
        await send(world, replace(beacon(4), since=at(1)))
        await eventually(lambda: has_number(world, 4))
    assert await chain(world) == (4, None)


async def test_beacons_that_two_processes_get_out_of_order_leave_no_hole(world: World) -> None:
    consumer = world.consumer(record)
    await consumer._searcher.begin()
    one, other = consumer._searcher.beacons(), consumer._searcher.beacons()
    assert await one._note(beacon(1), is_patient=True)
    assert not await one._note(beacon(3), is_patient=True)
    assert await other._note(beacon(2), is_patient=True)
    assert await one._note(beacon(3), is_patient=True)
    assert await chain(world) == (3, None)


def spoilt(**changes: object) -> Message:
    message = beacon(1, a=1).to_message()
    for name, value in changes.items():
        setattr(message, name, value)
    return message


REFUSED = [
    ("source", spoilt(app_id="evil")),
    ("aggregate_type", spoilt(headers={"aggregate_type": "menu"})),
    ("unreadable", spoilt(app_id=None)),
    ("unreadable", spoilt(body=b"[]")),
    ("unreadable", spoilt(body=beacon(1, a=0).to_message().body)),
    ("unreadable", spoilt(body=b'{"number": 1, "since": "0001-01-01T00:00:00+14:00"}')),
    ("too_large", spoilt(body=b" " * 2 * 1024 * 1024)),
    ("sender", spoilt()),
]


@pytest.mark.parametrize(("reason", "foul"), REFUSED)
async def test_a_beacon_outside_the_subscription_is_a_dead_letter(
    world: World, reason: str, foul: Message
) -> None:
    before = metrics.DEAD_LETTERED.labels(QUEUE, reason)._value.get()
    user = urlsplit(world.broker_url).username
    assert user is not None
    foul.user_id = None if reason == "sender" else user
    async with running(world.consumer(record, senders={SOURCE: {user}})):
        async with world.broker() as channel:
            exchange = await channel.get_exchange(BEACONS, ensure=False)
            await exchange.publish(foul, beacon(1).routing_key)
            good = replace(beacon(2), streams={}).to_message(user=user)
            await exchange.publish(good, beacon(2).routing_key)
        await eventually(lambda: has_number(world, 2))
        async with world.broker() as channel:
            dead = await channel.declare_queue(dead_letters_of(QUEUE), passive=True)
            assert dead.declaration_result.message_count == 1
    assert metrics.DEAD_LETTERED.labels(QUEUE, reason)._value.get() == before + 1
    assert await missing(world) == {}


async def test_what_calls_itself_a_beacon_on_an_exchange_of_events_is_none(world: World) -> None:
    """Who may publish events could else speak of the streams of other sources."""
    async with running(world.consumer(record)):
        async with world.broker() as channel:
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            await exchange.publish(beacon(1, a=9).to_message(), "order.beacon")
        await publish(world, *events(1, "a"))
        await eventually(lambda: has_effects(world, 1))
        await eventually(lambda: queue_is_empty(world))
    assert not await has_beacons(world)


async def test_names_that_are_too_long_for_a_key_together_have_a_key(world: World) -> None:
    [ours] = world.topology.subscriptions
    long = replace(ours, source="s" * 200, aggregate_types=("t" * 200,))  # type: ignore[type-var]
    world.topology.subscriptions = (ours, long)
    named = Beacon("s" * 200, "t" * 200, 1, at(0), at(1), {"a": 1})
    async with running(world.consumer(record)):
        await send(world, named)
        await eventually(lambda: misses(world, {"a": "{[1,2)}"}))

"""A consumer takes what its queue subscribes to, from whom it is expected; the rest is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest
from aio_pika import Message

from kit.outbox.deliveries import (
    effects,
    events,
    has_effects,
    publish,
    queue_is_empty,
    record,
)
from kit.outbox.world import EXCHANGE, QUEUE, SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox import metrics
from outbox.event import MAX_PAYLOAD, Stream
from outbox.rabbitmq.cloudevents import to_message
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.lenient_decoding import body_size
from outbox.rabbitmq.topology import dead_letters_of


def message(**changes: Any) -> Message:
    """An event of the aggregate "b" that would be taken, but for these changes."""
    headers = changes.pop("headers", {})
    made = to_message(events(1, "b")[0])
    made.headers.update(headers)
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def refused(reason: str) -> float:
    return float(metrics.DEAD_LETTERED.labels(QUEUE, reason)._value.get())


async def dead_letters(world: World) -> int:
    async with world.broker() as channel:
        queue = await channel.declare_queue(dead_letters_of(QUEUE), passive=True)
        return queue.declaration_result.message_count or 0


async def has_dead_letters(world: World, count: int) -> bool:
    return await dead_letters(world) == count


REFUSED = [
    ("source", message(headers={"cloudEvents:source": "evil"})),
    ("source", message(headers={"cloudEvents:source": "kitchen"})),
    ("aggregate_type", message(headers={"aggregate_type": "menu"})),
    ("aggregate_type", message(headers={"aggregate_type": "message id"})),
    ("content_type", message(content_type="text/html")),
    ("content_type", message(content_type=None)),
    ("headers", message(headers={f"more{n}": 1 for n in range(200)})),
    ("headers", message(headers={"more": "x" * 20_000})),
    ("headers", message(headers={"more": {"deep": ["x" * 20_000]}})),
    ("too_large", message(body=b'"' + b"x" * MAX_PAYLOAD + b'"')),
    ("unreadable", message(headers={"sequence": "first"})),
    ("sender", message(user_id=None)),
]


@pytest.mark.parametrize(
    ("reason", "foul"), REFUSED, ids=[f"{n}-{reason}" for n, (reason, _) in enumerate(REFUSED)]
)
async def test_an_event_outside_the_subscription_is_a_dead_letter_and_counted(
    world: World, reason: str, foul: Message
) -> None:
    before = refused(reason)
    user = urlsplit(world.broker_url).username
    assert user is not None
    if reason != "sender":
        foul.user_id = user
    good = to_message(events(1, "a")[0], user=user)
    async with world.broker() as channel:
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        for one in (foul, good):
            await exchange.publish(one, "order.happened")
    async with running(world.consumer(record, senders={SOURCE: {user}})):
        await eventually(lambda: has_effects(world, 1))
        await eventually(lambda: has_dead_letters(world, 1))
    assert await effects(world) == {"a": [1]}
    assert await world.rows("SELECT DISTINCT aggregate_id FROM inbox") == [("a",)]
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]
    assert refused(reason) == before + 1


async def test_a_refusal_names_what_the_queue_accepts(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    foul = message(headers={"aggregate_type": "menu"})
    async with running(world.consumer(record)), world.broker() as channel:
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(foul, "order.happened")
        await eventually(lambda: has_dead_letters(world, 1))
    [line] = [said for said in caplog.messages if "dead letters" in said]
    assert line.endswith(": its queue takes only order")


async def test_many_bodies_that_are_too_large_are_never_in_memory_together(world: World) -> None:
    large = [message(body=b"x" * 2 * MAX_PAYLOAD) for _ in range(5)]
    async with world.broker() as channel:
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        for one in large:
            await exchange.publish(one, "order.happened")
    await publish(world, *events(1, "a"))
    async with running(world.consumer(record)):
        await eventually(lambda: has_effects(world, 1))
        await eventually(lambda: has_dead_letters(world, 5))
    async with await connect(world.broker_url, "test") as connection:
        underlay = await (await connection.channel()).get_underlay_channel()
        dead = await underlay.basic_get(dead_letters_of(QUEUE), no_ack=True)
    assert (dead.body, body_size(dead)) == (b"", 2 * MAX_PAYLOAD)


@pytest.mark.parametrize("frames", [True, False])
async def test_a_relay_names_its_user_and_a_consumer_believes_the_broker(
    world: World, frames: bool
) -> None:
    user = urlsplit(world.broker_url).username
    assert user is not None
    await world.emit(Happened("a"), Happened("a"))
    async with (
        running(world.relay(frames=frames)),
        running(world.consumer(record, senders={SOURCE: {user}})),
    ):
        await eventually(lambda: has_effects(world, 2))
    await world.emit(Happened("a"))
    before = refused("sender")
    async with (
        running(world.relay(frames=frames)),
        running(world.consumer(record, senders={SOURCE: {"somebody"}})),
    ):
        await eventually(lambda: has_dead_letters(world, 1))
        await eventually(lambda: queue_is_empty(world))
    assert refused("sender") == before + 1
    assert await effects(world) == {"a": [1, 2]}


async def test_any_user_may_send_for_a_source_without_named_senders(world: World) -> None:
    await publish(world, *events(1, "a"))
    async with running(world.consumer(record, senders={"another": {"somebody"}})):
        await eventually(lambda: has_effects(world, 1))


async def test_a_queue_accepts_events_of_each_of_its_subscriptions(world: World) -> None:
    [ours] = world.topology.subscriptions
    theirs = replace(ours, source="bar", aggregate_types=("drink",))  # type: ignore[type-var]
    world.topology.subscriptions = (ours, theirs)
    [event] = events(1, "a")
    drink = replace(event, stream=Stream("bar", "drink", "a"))
    mixed = replace(event, stream=Stream("bar", "order", "a"))
    before = refused("aggregate_type")
    await publish(world, drink, mixed)
    async with running(world.consumer(record)):
        await eventually(lambda: has_dead_letters(world, 1))
        await eventually(lambda: has_effects(world, 1))
    assert refused("aggregate_type") == before + 1

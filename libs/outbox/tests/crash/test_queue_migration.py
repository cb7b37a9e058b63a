"""A queue gets other arguments: killed at any step, with messages in it and more to come."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from aio_pika.abc import AbstractIncomingMessage

from kit.outbox.deliveries import effects, events, has_effects, publish, queue_is_empty, record
from kit.outbox.world import EXCHANGE, QUEUE, TAKES, World, running
from kit.servers.broker_users import user_without
from kit.waiting import eventually
from outbox import Envelope, Topology
from outbox.errors import BrokerRefused, InvalidSetting, QueueInUse, TopologyMismatch
from outbox.failpoints import MIGRATION_STEPS
from outbox.operations.queue_migration import Migrated, migrate, temporary
from outbox.rabbitmq.cloudevents import to_message
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.queue_depths import declared
from outbox.rabbitmq.topology import DEAD_LETTERS, dead_letters_of
from outbox.supervise import pause

TESTS = Path(__file__).parents[4] / "tests"
OLD: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-single-active-consumer": True,
    "x-delivery-limit": 1_000,
    "x-dead-letter-exchange": DEAD_LETTERS,
    "x-dead-letter-routing-key": QUEUE,
}


async def replace_queue(world: World) -> None:
    """Make the queue as an older release did."""
    async with world.broker() as channel:
        queue = await channel.get_queue(QUEUE, ensure=False)
        await queue.delete(if_unused=False, if_empty=False)
        queue = await channel.declare_queue(QUEUE, durable=True, arguments=OLD)
        for key in TAKES.routing_keys:
            await queue.bind(EXCHANGE, key)


async def publish_raw(world: World, *envelopes: Envelope, user: str | None = None) -> None:
    """Publish without declaring the topology, which the broker would refuse."""
    async with world.broker(declare=False) as channel:
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        for envelope in envelopes:
            await exchange.publish(to_message(envelope, user=user), envelope.type, mandatory=True)


async def run(world: World, **environment: str) -> int:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(TESTS / "kit/outbox/processes/migration.py"),
        world.broker_url,
        env={**os.environ, "PYTHONPATH": str(TESTS), "APP_ENV": "test", **environment},
    )
    async with asyncio.timeout(60):
        return await process.wait()


async def migrated(world: World) -> Migrated:
    return await migrate(world.broker_url, world.topology, QUEUE)


async def depth(world: World, queue: str) -> int | None:
    async with await connect(world.broker_url, "test") as connection:
        return (await declared(connection, queue))[0]


async def everything_takes_effect_once(world: World, expected: dict[str, list[int]]) -> None:
    count = sum(map(len, expected.values()))
    async with running(world.consumer(record)):
        await eventually(lambda: has_effects(world, count))
        await eventually(lambda: queue_is_empty(world))
    assert await effects(world) == expected
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]


async def test_a_queue_with_messages_gets_the_declared_arguments(world: World) -> None:
    await replace_queue(world)
    await publish_raw(world, *events(300, "a"), *events(50, "b"))
    done = await migrated(world)
    assert (done.away, done.back, done.was_needed) == (350, 350, True)
    assert await depth(world, QUEUE) == 350
    assert await depth(world, temporary(QUEUE)) is None
    async with world.broker():  # declares the topology
        pass
    expected = {"a": [*range(1, 301)], "b": [*range(1, 51)]}
    await everything_takes_effect_once(world, expected)


async def test_a_queue_that_is_as_declared_is_left_alone(world: World) -> None:
    await publish(world, *events(3))
    assert await migrated(world) == Migrated(QUEUE, 0, 0, was_needed=False)
    assert await depth(world, QUEUE) == 3


@pytest.mark.parametrize("step", MIGRATION_STEPS)
async def test_a_migration_killed_at_a_step_goes_on_when_it_is_run_again(
    world: World, step: str
) -> None:
    await replace_queue(world)
    await publish_raw(world, *events(20, "a"))
    assert await run(world, OUTBOX_FAILPOINT=step) == -9
    await publish_raw(world, *events(5, "b"))
    assert await run(world) == 0
    assert await depth(world, temporary(QUEUE)) is None
    await publish_raw(world, *events(5, "c"))
    expected = {"a": [*range(1, 21)], "b": [*range(1, 6)], "c": [*range(1, 6)]}
    await everything_takes_effect_once(world, expected)


@pytest.mark.parametrize("step", ["unbound:2", "confirmed:2", "acked:2"])
async def test_a_migration_killed_on_the_way_back_goes_on_too(world: World, step: str) -> None:
    await replace_queue(world)
    await publish_raw(world, *events(20, "a"))
    assert await run(world, OUTBOX_FAILPOINT=f"migration.{step}") == -9
    assert await run(world) == 0
    await everything_takes_effect_once(world, {"a": [*range(1, 21)]})


async def test_producers_publish_while_a_migration_is_killed_again_and_again(world: World) -> None:
    await replace_queue(world)
    found = events(1_000, "a")
    done = asyncio.Event()
    publishing = asyncio.create_task(_publish_until(done, world, found))
    for step in ("prepared", "confirmed", "deleted"):
        await run(world, OUTBOX_FAILPOINT=f"migration.{step}")
    assert await run(world) == 0
    done.set()
    count = await publishing
    assert count > 50
    await everything_takes_effect_once(world, {"a": [*range(1, count + 1)]})


async def _publish_until(done: asyncio.Event, world: World, found: list[Envelope]) -> int:
    async with world.broker(declare=False) as channel:
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        for number, envelope in enumerate(found, start=1):
            await exchange.publish(to_message(envelope), envelope.type, mandatory=True)
            await pause(done, 0.05)
            if done.is_set():
                return number
    return len(found)


async def _keep(message: AbstractIncomingMessage) -> None:
    """Leave a message unacked."""


async def test_a_consumer_of_this_release_goes_on_when_the_queue_is_migrated(world: World) -> None:
    await replace_queue(world)
    await publish_raw(world, *events(20, "a"))
    async with running(world.consumer(record)):
        await migrated(world)
        await eventually(lambda: has_effects(world, 20))
    assert await effects(world) == {"a": [*range(1, 21)]}


async def test_a_queue_that_is_consumed_is_not_touched(world: World) -> None:
    await replace_queue(world)
    await publish_raw(world, *events(3))
    async with world.broker(declare=False) as channel:
        queue = await channel.get_queue(QUEUE, ensure=False)
        await queue.consume(_keep)
        with pytest.raises(QueueInUse, match="consumed by 1 others"):
            await migrated(world)
    assert await depth(world, temporary(QUEUE)) is None


async def test_dead_letters_stay_where_they_are(world: World) -> None:
    async with world.broker() as channel:
        await channel.default_exchange.publish(
            to_message(events(1)[0]), dead_letters_of(QUEUE), mandatory=True
        )
    await replace_queue(world)
    await migrated(world)
    assert await depth(world, dead_letters_of(QUEUE)) == 1


async def test_a_message_keeps_its_properties(world: World) -> None:
    await replace_queue(world)
    [event] = events(1)
    user = world.broker_url.split("//")[1].split(":")[0]
    await publish_raw(world, event, user=user)
    await migrated(world)
    [message] = await world.delivered(1)
    sent = to_message(event, user=user)
    assert (message.body, message.message_id, message.user_id) == (
        event.payload,
        str(event.id),
        user,
    )
    assert {name: message.headers[name] for name in sent.headers} == sent.headers


async def test_a_queue_that_the_topology_does_not_have_is_refused(world: World) -> None:
    with pytest.raises(InvalidSetting, match="not in the topology"):
        await migrate(world.broker_url, Topology([EXCHANGE], [TAKES]), "other")


async def test_messages_of_another_user_are_moved_by_one_who_may_pass_them_on(world: World) -> None:
    await replace_queue(world)
    await publish_raw(world, *events(3), user=world.broker_url.split("//")[1].split(":")[0])
    refused = pytest.raises(BrokerRefused, match="give this user the tag impersonator")
    with user_without(world.broker_url) as (login, _), refused:
        await migrate(login, world.topology, QUEUE)
    assert (await migrated(world)).back == 3
    await everything_takes_effect_once(world, {"a": [1, 2, 3]})


async def test_a_user_without_rights_changes_nothing(world: World) -> None:
    await replace_queue(world)
    await publish_raw(world, *events(3))
    refused = pytest.raises(TopologyMismatch, match="ACCESS_REFUSED")
    with user_without(world.broker_url, configure="^$") as (login, _), refused:
        await migrate(login, world.topology, QUEUE)
    assert await depth(world, QUEUE) == 3

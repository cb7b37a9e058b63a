"""A queue that the broker has otherwise, or refuses, takes its own domain down and no other."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from aio_pika import Channel, Message
from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import ChannelPreconditionFailed

from kit.outbox.deliveries import effects, events, has_effects, publish, record
from kit.outbox.world import EXCHANGE, QUEUE, TAKES, Happened, World, running
from kit.servers.broker_users import user_without
from kit.waiting import eventually
from outbox import Consumer, Topology, metrics
from outbox.postgres.leadership import Leader
from outbox.rabbitmq import stream_reader
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.topology import (
    DEAD_LETTERS,
    dead_letter_arguments,
    dead_letters_of,
)

WRONG = "kitchen.menus"
MENU = replace(TAKES, queue=WRONG, aggregate_types=("menu",))


@pytest.fixture
def both(world: World) -> World:
    """A world in which another queue takes another aggregate type."""
    world.topology = Topology([EXCHANGE], [MENU, TAKES])
    return world


def menus(world: World) -> Consumer:
    return Consumer(
        queue=WRONG,
        handlers={"menu.happened": record},
        work=world.work,
        broker_url=world.broker_url,
        topology=world.topology,
    )


async def redeclare(world: World, queue: str, **arguments: str) -> None:
    async with await connect(world.broker_url, "test") as connection:
        channel = await connection.channel()
        await channel.queue_delete(queue)
        if arguments:
            await channel.declare_queue(queue, durable=True, arguments=dict(arguments))


async def test_a_queue_with_other_arguments_takes_its_own_domain_down_and_mends_itself(
    both: World, caplog: pytest.LogCaptureFixture
) -> None:
    world = both
    async with await connect(world.broker_url, "test") as connection:
        channel = await connection.channel()
        await channel.declare_queue(WRONG, durable=True, arguments={"x-queue-type": "classic"})
    down, well, relay = menus(world), world.consumer(record), world.relay(topology_check=0.5)
    async with running(relay, well, down):
        await world.emit(Happened("a"), Happened("m", type="menu.happened", aggregate_type="menu"))
        await eventually(lambda: has_effects(world, 1))
        assert await effects(world) == {"a": [1]}
        assert (relay.running, well.running, down.running) == (True, True, False)
        assert metrics.REFUSED.labels(f"queue {WRONG}")._value.get() == 1
        await eventually(lambda: says(caplog, f"consumer {WRONG} is down"))
        await eventually(lambda: says(caplog, f"queue {WRONG} is not as declared"))
        await redeclare(world, WRONG)
        await eventually(lambda: is_running(down))
        await eventually(lambda: is_fine(f"queue {WRONG}"))
        await world.emit(Happened("n", type="menu.happened", aggregate_type="menu"))
        await eventually(lambda: has_effect_of(world, "n"))
    said = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert len(said) == 2, "each of them said it once"


async def says(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(text in record.getMessage() for record in caplog.records)


async def is_running(part: Consumer) -> bool:
    return part.running


async def is_fine(part: str) -> bool:
    return bool(metrics.REFUSED.labels(part)._value.get() == 0)


async def has_effect_of(world: World, aggregate: str) -> bool:
    return aggregate in await effects(world)


async def test_a_deleted_queue_comes_back_while_the_others_go_on(both: World) -> None:
    world = both
    deleted, well = menus(world), world.consumer(record)
    async with running(world.relay(topology_check=0.5), well, deleted):
        await eventually(lambda: is_running(deleted))
        await redeclare(world, WRONG)
        await world.emit(Happened("a"))
        await eventually(lambda: has_effect_of(world, "a"))
        await eventually(lambda: is_running(deleted))
        await world.emit(Happened("n", type="menu.happened", aggregate_type="menu"))
        await eventually(lambda: has_effect_of(world, "n"))


@pytest.mark.parametrize("right", ["configure", "read"])
async def test_a_missing_right_on_one_queue_leaves_the_others_alone(
    both: World, right: str
) -> None:
    world = both
    async with world.broker():
        pass
    with user_without(world.broker_url, **{right: f"^(?!{WRONG}$).*$"}) as (login, give):
        world.broker_url, admin = login, world.broker_url
        down, well = menus(world), world.consumer(record)
        async with running(world.relay(topology_check=0.5), well, down):
            await world.emit(Happened("a"))
            await eventually(lambda: has_effect_of(world, "a"))
            assert (well.running, down.running) == (True, False)
            give()
            await eventually(lambda: is_running(down))
        world.broker_url = admin


async def test_a_stream_queue_of_another_kind_stops_no_relay(both: World) -> None:
    world = both
    world.topology = Topology([EXCHANGE], [MENU, TAKES], {"everything": timedelta(days=1)})
    async with await connect(world.broker_url, "test") as connection:
        await (await connection.channel()).declare_queue("everything", durable=True)

    async def begin(_: stream_reader.StreamBounds) -> str:
        return "first"

    async def handle(_: object) -> None:
        raise AssertionError

    reader = Leader(
        stream_reader.StreamReader(
            stream="everything",
            broker_url=world.broker_url,
            topology=world.topology,
            begin=begin,
            handle=handle,
        ),
        name="everything",
        database_url=world.database_url,
    )
    async with running(world.relay(topology_check=0.5), world.consumer(record), reader):
        await world.emit(Happened("a"))
        await eventually(lambda: has_effect_of(world, "a"))
        assert not reader.running
        await redeclare(world, "everything")
        await eventually(lambda: is_up(reader))


async def is_up(part: Leader) -> bool:
    return part.running


async def old_dead_letters(world: World, *bodies: bytes) -> str:
    """A dead-letter queue from before they had a bound."""
    name = dead_letters_of(QUEUE)
    async with await connect(world.broker_url, "test") as connection:
        channel = await connection.channel()
        await channel.declare_queue(name, durable=True, arguments={"x-queue-type": "quorum"})
        for body in bodies:
            await channel.default_exchange.publish(Message(body), name)
    return name


async def is_bounded(world: World) -> bool:
    async with await connect(world.broker_url, "test") as connection:
        channel = await connection.channel()
        try:
            await channel.declare_queue(
                dead_letters_of(QUEUE), durable=True, arguments=dead_letter_arguments()
            )
        except ChannelPreconditionFailed:
            return False
    return True


@pytest.mark.parametrize("part", ["relay", "consumer"])
async def test_an_empty_dead_letter_queue_without_a_bound_is_declared_again(
    world: World, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    await old_dead_letters(world)
    async with running(world.relay() if part == "relay" else world.consumer(record)):
        await eventually(lambda: is_bounded(world))
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []


async def test_a_message_that_reaches_an_old_dead_letter_queue_after_the_first_count_is_kept(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, declare = await old_dead_letters(world), Channel.declare_queue
    async with world.broker(declare=False) as other:
        dead = await other.declare_exchange(DEAD_LETTERS, "direct", durable=True)
        await (await other.get_queue(name)).bind(dead, QUEUE)
        late = [Message(b"evidence")]

        async def looked_at(channel: Channel, queue: str, **options: Any) -> AbstractQueue:
            found = await declare(channel, queue, **options)
            if queue == name and options.get("passive") and late:
                await dead.publish(late.pop(), QUEUE)
            return found

        monkeypatch.setattr(Channel, "declare_queue", looked_at)
        consumer = world.consumer(record)
        async with running(consumer):
            await eventually(lambda: is_running(consumer))
        monkeypatch.undo()
        await dead.publish(Message(b"more"), QUEUE)
        assert await holds(world, 2)


async def holds(world: World, count: int) -> bool:
    async with await connect(world.broker_url, "test") as connection:
        channel = await connection.channel()
        dead = await channel.declare_queue(dead_letters_of(QUEUE), passive=True)
        return dead.declaration_result.message_count == count


async def test_a_dead_letter_queue_with_messages_is_left_alone_with_one_line(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    name = await old_dead_letters(world, b"evidence")
    relay = world.relay(topology_check=0.2)
    async with running(relay, world.consumer(record, topology_check=0.2)):
        await world.emit(Happened("a"))
        await eventually(lambda: has_effects(world, 1))
        await world.emit(Happened("b"))
        await eventually(lambda: has_effects(world, 2))
    assert not await is_bounded(world)
    said = {r.getMessage() for r in caplog.records if r.levelname == "ERROR"}
    assert len(said) == 1
    assert name in said.pop()


async def test_dead_letters_beyond_the_bound_push_out_the_oldest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.rabbitmq.topology.DEAD_LETTER_BYTES", 20_000)
    async with world.broker() as channel:
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        for _ in range(100):
            await exchange.publish(Message(b"x" * 1_000), "order.happened")
    await publish(world, *events(1, "a"))
    async with running(world.consumer(record)):
        await eventually(lambda: has_effects(world, 1))
        await eventually(lambda: holds_less_than(world, 21))


async def holds_less_than(world: World, count: int) -> bool:
    async with await connect(world.broker_url, "test") as connection:
        channel = await connection.channel()
        dead = await channel.declare_queue(dead_letters_of(QUEUE), passive=True)
        return 0 < (dead.declaration_result.message_count or 0) < count


async def test_an_exchange_of_another_kind_is_waited_for(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with await connect(world.broker_url, "test") as connection:
        channel: AbstractChannel = await connection.channel()
        wrong = await channel.declare_exchange(EXCHANGE, "direct", durable=True)
        relay, consumer = world.relay(), world.consumer(record)
        async with running(relay, consumer):
            await world.emit(Happened("a"))
            await eventually(lambda: says(caplog, "relay is down"))
            assert (relay.running, consumer.running) == (False, False)
            await wrong.delete()
            await eventually(lambda: has_effects(world, 1))

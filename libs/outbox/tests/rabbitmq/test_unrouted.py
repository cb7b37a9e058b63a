"""Beside a stream queue that takes everything, a missing binding is known within a second."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from aio_pika.exceptions import ChannelNotFoundEntity

from kit.outbox.deliveries import effects, events, has_effects, record
from kit.outbox.topology import AUDITED, TOPOLOGY
from kit.outbox.world import EXCHANGE, QUEUE, Happened, World, running
from kit.waiting import eventually
from outbox import Relay, Topology, metrics
from outbox.errors import InvalidSetting
from outbox.log.relay_queries import unpublish
from outbox.rabbitmq.cloudevents import to_message
from outbox.rabbitmq.stream_reader import StreamBounds, StreamedEvent, StreamReader
from outbox.rabbitmq.topology import entry_of, unrouted_of

STRAY = Happened("s", type="stray.happened", aggregate_type="stray")
SELDOM = 300.0
"""Seconds between two checks of the topology: in these tests none of them mends anything."""


@pytest.fixture
def audited(world: World) -> World:
    """A world in which a stream queue takes everything."""
    world.topology = AUDITED
    return world


def counted(outcome: str) -> float:
    return float(metrics.UNROUTED.labels(EXCHANGE, outcome)._value.get())


async def has_counted(outcome: str, count: float) -> bool:
    return counted(outcome) == count


async def unbind(world: World) -> None:
    async with world.broker(declare=False) as channel:
        queue = await channel.get_queue(QUEUE, ensure=False)
        await queue.unbind(EXCHANGE, "order.#")


@asynccontextmanager
async def reading(world: World) -> AsyncIterator[list[UUID]]:
    """The ids of all events that were published, as often as they were."""
    seen: list[UUID] = []

    async def begin(_: StreamBounds) -> str:
        return "first"

    async def handle(found: Sequence[StreamedEvent]) -> None:
        seen.extend(one.envelope.id for one in found if one.envelope)

    reader = StreamReader(
        stream="everything",
        broker_url=world.broker_url,
        topology=world.topology,
        begin=begin,
        handle=handle,
    )
    async with running(reader):
        yield seen


async def write(world: World, stop: asyncio.Event, aggregates: Iterable[str]) -> int:
    """Commit an event of each aggregate every few milliseconds; returns how many."""
    count, names = 0, list(aggregates)
    while not stop.is_set():
        await world.emit(*(Happened(name, count) for name in names))
        count += len(names)
        await asyncio.sleep(0.02)
    return count


async def was_resent(before: float) -> bool:
    return counted("resent") > before


async def test_what_was_published_without_a_binding_goes_again_by_itself_and_nothing_else(
    audited: World, caplog: pytest.LogCaptureFixture
) -> None:
    world, before, stop = audited, counted("resent"), asyncio.Event()
    relay = world.relay(topology_check=SELDOM)
    consumer = world.consumer(record, topology_check=SELDOM)
    async with reading(world) as seen, running(relay, consumer):
        writer = asyncio.create_task(write(world, stop, "abcde"))
        await eventually(lambda: has_effects(world, 20))
        unbound_at = time.monotonic()
        await unbind(world)
        await eventually(lambda: says(caplog, f"lacks a binding to {QUEUE}"), within=5)
        assert time.monotonic() - unbound_at < 2
        await eventually(lambda: was_resent(before), within=10)
        stop.set()
        count = await writer
        await eventually(lambda: has_effects(world, count))
        await eventually(lambda: has_none_unbound(relay))
        resent = int(counted("resent") - before)
        await eventually(lambda: has_length(seen, count + resent))
    assert await effects(world) == {name: list(range(1, count // 5 + 1)) for name in "abcde"}
    times = Counter(seen)
    assert sorted(times.values()) == [1] * (count - resent) + [2] * resent
    assert 0 < resent < count


async def says(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(text in record.getMessage() for record in caplog.records)


async def has_none_unbound(relay: Relay) -> bool:
    return relay.unbound_queues == ()


async def has_length(seen: list[UUID], count: int) -> bool:
    return len(seen) == count


async def test_a_binding_that_is_removed_again_and_again_loses_nothing(audited: World) -> None:
    world, stop = audited, asyncio.Event()
    relay = world.relay(topology_check=SELDOM)
    async with running(relay, world.consumer(record, topology_check=SELDOM)):
        writer = asyncio.create_task(write(world, stop, "abcde"))
        await eventually(lambda: has_effects(world, 5))
        for _ in range(4):
            before = counted("resent")
            await unbind(world)
            await eventually(partial(was_resent, before))
        stop.set()
        count = await writer
        await eventually(lambda: has_effects(world, count))
    assert await effects(world) == {name: list(range(1, count // 5 + 1)) for name in "abcde"}


async def test_a_deleted_queue_gets_what_it_missed(audited: World) -> None:
    world = audited
    async with running(world.relay(topology_check=SELDOM), world.consumer(record)):
        await world.emit(Happened("a", 1))
        await eventually(lambda: has_effects(world, 1))
        async with world.broker(declare=False) as channel:
            await channel.queue_delete(QUEUE)
        await world.emit(Happened("a", 2), Happened("b", 1))
        await eventually(lambda: has_effects(world, 3))
    assert await effects(world) == {"a": [1, 2], "b": [1]}


async def test_a_type_that_nobody_subscribes_to_is_counted_and_not_sent_again(
    audited: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "outbox")
    world, unwanted, resent = audited, counted("unwanted"), counted("resent")
    relay = world.relay(topology_check=SELDOM)
    async with reading(world) as seen, running(relay, world.consumer(record)):
        await world.emit(STRAY, STRAY, Happened("a", 1))
        await eventually(lambda: has_counted("unwanted", unwanted + 2))
        await eventually(lambda: has_effects(world, 1))
        await eventually(lambda: has_length(seen, 3))
        assert relay.unbound_queues == ()
    assert await world.unpublished() == 0
    assert counted("resent") == resent
    said = [r.getMessage() for r in caplog.records if "stray.happened" in r.getMessage()]
    assert len(said) == 1


async def test_a_queue_that_cannot_be_bound_is_shown_until_it_can(
    audited: World, caplog: pytest.LogCaptureFixture
) -> None:
    world, resent = audited, counted("resent")
    relay = world.relay(topology_check=0.5)
    async with running(relay):
        await eventually(lambda: world.has_owned_lanes(16))
        async with world.broker(declare=False) as channel:
            await channel.queue_delete(QUEUE)
            await channel.declare_queue(QUEUE, durable=True)
        await world.emit(Happened("a", 1))
        await eventually(lambda: has_unbound(relay))
        gauge = metrics.UNBOUND_QUEUES.labels(EXCHANGE)._value
        assert gauge.get() == 1
        await eventually(lambda: says(caplog, f"queue {QUEUE} is not as declared"))
        assert (counted("resent"), await world.unpublished()) == (resent, 0)
        async with world.broker(declare=False) as channel:
            await channel.queue_delete(QUEUE)
        await eventually(lambda: has_none_unbound(relay))
        [message] = await world.delivered(1, declare=False)
        assert gauge.get() == 0
    assert message.routing_key == "order.happened"
    lines = [r.getMessage() for r in caplog.records if "lacks a binding" in r.getMessage()]
    assert len(lines) == 1


async def has_unbound(relay: Relay) -> bool:
    return relay.unbound_queues == (QUEUE,)


async def test_only_what_was_published_to_the_exchange_is_sent_again(audited: World) -> None:
    world, unknown, resent = audited, counted("unknown"), counted("resent")
    async with running(world.relay(), world.consumer(record)):
        await world.emit(Happened("a", 1))
        await eventually(lambda: has_effects(world, 1))
        [(id_,)] = await world.rows("SELECT event_id FROM outbox")
        forged = replace(events(1)[0], id=id_)
        async with world.broker(declare=False) as channel:
            other = await channel.get_exchange(unrouted_of(EXCHANGE), ensure=False)
            await other.publish(to_message(forged), "order.happened")
        await eventually(lambda: has_counted("unknown", unknown + 1))
    assert counted("resent") == resent


async def test_an_event_that_is_not_marked_yet_is_left_alone(world: World) -> None:
    await world.emit(Happened("a", 1), Happened("a", 2), Happened("a", 3))
    await world.execute("UPDATE outbox SET published_at = clock_timestamp() WHERE sequence > 1")
    rows = await world.rows("SELECT event_id, created_at FROM outbox ORDER BY id")
    async with await world.psycopg() as connection:
        assert await unpublish(connection, dict(rows[:2])) == {rows[0][0]: False, rows[1][0]: True}
        stranger = {UUID(int=7): rows[0][1]}
        assert await unpublish(connection, stranger) == {}
    assert await world.unpublished() == 2


async def test_an_exchange_of_an_earlier_release_is_replaced_and_loses_nothing(
    audited: World,
) -> None:
    world, new = audited, audited.topology
    world.topology = TOPOLOGY
    async with running(world.relay(), world.consumer(record)):
        await world.emit(Happened("a", 1))
        await eventually(lambda: has_effects(world, 1))
    await world.emit(Happened("a", 2))
    world.topology = new
    relays = [world.relay() for _ in range(3)]
    async with running(*relays, world.consumer(record)):
        await eventually(lambda: has_effects(world, 2))
        await eventually(lambda: own_lanes(relays))
        await world.emit(*(Happened(f"b{n}", n) for n in range(50)))
        await eventually(lambda: has_effects(world, 52))
    assert (await effects(world))["a"] == [1, 2]


async def own_lanes(relays: Sequence[Relay]) -> bool:
    return all(relay.lanes for relay in relays)


async def test_without_stream_queues_relays_publish_to_the_exchange_itself(world: World) -> None:
    assert world.topology.entry(EXCHANGE) == EXCHANGE
    async with running(world.relay(), world.consumer(record)):
        await world.emit(Happened("a", 1))
        await eventually(lambda: has_effects(world, 1))
        for name in (entry_of(EXCHANGE), unrouted_of(EXCHANGE)):
            async with world.broker(declare=False) as channel:
                with pytest.raises(ChannelNotFoundEntity):
                    await channel.declare_exchange(name, passive=True)


def test_a_name_leaves_room_for_that_of_the_entry() -> None:
    assert Topology(["x" * 255], []).exchanges
    with pytest.raises(InvalidSetting, match="exchanges"):
        Topology(["x" * 255], [], {"everything": timedelta(days=1)})

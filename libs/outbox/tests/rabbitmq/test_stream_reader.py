"""A stream that takes everything, beside the queues that are taken from."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import aio_pika

from kit.outbox.world import EXCHANGE, TAKES, Happened, World, running
from kit.waiting import eventually
from outbox import Topology
from outbox.publisher.fast import FastPublisher
from outbox.publisher.open import open_publisher
from outbox.rabbitmq import stream_reader


async def test_a_stream_queue_receives_what_no_queue_does_and_keeps_what_is_read(
    world: World,
) -> None:
    world.topology = Topology([EXCHANGE], [TAKES], {"everything": timedelta(days=1)})
    seen: list[stream_reader.StreamedEvent] = []

    async def first(_: stream_reader.StreamBounds) -> str:
        return "first"

    async def look(events: Sequence[stream_reader.StreamedEvent]) -> None:
        seen.extend(events)

    def reader() -> stream_reader.StreamReader:
        return stream_reader.StreamReader(
            stream="everything",
            broker_url=world.broker_url,
            topology=world.topology,
            begin=first,
            handle=look,
        )

    stray = Happened("b", type="stray.happened", aggregate_type="stray")
    await world.emit(Happened("a", 1), stray, Happened("a", 2))
    async with running(world.relay(), reader()):
        await eventually(lambda: _has(seen, 3))
    async with running(reader()):
        await eventually(lambda: _has(seen, 6))
    assert [event.offset for event in seen] == [0, 1, 2] * 2
    envelopes = [event.envelope for event in seen if event.envelope]
    assert {envelope.type for envelope in envelopes} == {"order.happened", "stray.happened"}


async def test_what_comes_within_the_linger_is_one_batch(world: World) -> None:
    world.topology = Topology([EXCHANGE], [TAKES], {"everything": timedelta(days=1)})
    batches: list[int] = []

    async def first(_: stream_reader.StreamBounds) -> str:
        return "first"

    async def look(events: Sequence[stream_reader.StreamedEvent]) -> None:
        batches.append(len(events))

    reader = stream_reader.StreamReader(
        stream="everything",
        broker_url=world.broker_url,
        topology=world.topology,
        begin=first,
        handle=look,
        linger=60.0,
    )

    async def is_full() -> bool:
        return bool(batches)

    async with running(world.relay(), reader):
        for number in range(1, stream_reader.BATCH + 1, 100):
            await world.emit(*(Happened("a", n) for n in range(number, number + 100)))
        await eventually(is_full)
    assert batches == [stream_reader.BATCH]


async def _has(seen: list[stream_reader.StreamedEvent], count: int) -> bool:
    return len(seen) >= count


async def test_a_stream_queue_that_receives_everything_does_not_slow_the_relay(
    world: World,
) -> None:
    topology = Topology([EXCHANGE], [TAKES], {"everything": timedelta(days=1)})
    async with await aio_pika.connect(world.broker_url) as connection, asyncio.timeout(20):
        await topology.ensure(connection)
        publisher = await open_publisher(connection, EXCHANGE, patience=5)
        assert isinstance(publisher, FastPublisher)

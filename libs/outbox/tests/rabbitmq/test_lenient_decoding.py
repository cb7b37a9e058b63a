"""What a foreign publisher may write and AMQP clients cannot decode stops nobody.

The frames are written by hand: no client library would send them, other languages' do.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import aio_pika
import pamqp.frame
import pytest
from aio_pika.abc import AbstractIncomingMessage
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from kit.outbox.deliveries import effects, events, has_effects, parks, publish, record
from kit.outbox.world import EXCHANGE, QUEUE, TAKES, World, running
from kit.waiting import eventually
from outbox import Envelope, Topology, UnitOfWork, UnsequencedMessages
from outbox.publisher.aiormq_channel import RawChannel
from outbox.rabbitmq import stream_reader
from outbox.rabbitmq.cloudevents import to_message
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.topology import dead_letters_of

BODY = b"what\xff?"
MICROSECONDS = 1_763_700_000_000_000
STRAYS: dict[str, tuple[bytes, bytes]] = {
    "message id": (b"stray-id", b"str\xe4y-id"),
    "type": (b"stray.type", b"str\xe4y.type"),
    "sender": (b"stray-app", b"str\xe4y-app"),
    "routing key": (b"order.stray", b"order.str\xe4y"),
    "header's name": (b"stray-header", b"str\xe4y-header"),
    "time": (struct.pack(">Q", 1), struct.pack(">Q", MICROSECONDS)),
    "largest time": (struct.pack(">Q", 1), b"\xff" * 8),
}
"""What is written, and by what it is replaced in the frames."""


async def publish_frames(
    world: World, message: aio_pika.Message, key: str, *instead: tuple[bytes, bytes]
) -> None:
    async with world.broker() as channel:
        wire = RawChannel(await channel.get_underlay_channel())
        frames = (
            Basic.Publish(exchange=world.topology.entry(EXCHANGE), routing_key=key),
            ContentHeader(body_size=len(message.body), properties=message.properties),
            ContentBody(message.body),
        )
        written = b"".join(pamqp.frame.marshal(frame, wire.number) for frame in frames)
        for readable, unreadable in instead:
            assert readable in written
            written = written.replace(readable, unreadable)
        await wire.write(written)
        # Answered after the frames above have been read.
        await channel.declare_queue(QUEUE, passive=True)


def stray() -> aio_pika.Message:
    return aio_pika.Message(
        BODY,
        message_id="stray-id",
        type="stray.type",
        app_id="stray-app",
        timestamp=1,
        headers={"stray-header": 1},
    )


async def dead(world: World, count: int) -> list[AbstractIncomingMessage]:
    found: list[AbstractIncomingMessage] = []
    async with await connect(world.broker_url, "test") as broker, asyncio.timeout(60):
        channel = await broker.channel()
        queue = await channel.get_queue(dead_letters_of(QUEUE), ensure=False)
        async with queue.iterator() as arriving:
            while len(found) < count:
                found.append(await anext(arriving))
                await found[-1].ack()
    return found


@pytest.mark.parametrize("what", STRAYS)
async def test_a_message_that_cannot_be_decoded_is_a_dead_letter_and_the_queue_flows(
    world: World, what: str
) -> None:
    await publish_frames(world, stray(), "order.stray", STRAYS[what])
    await publish(world, *events(2))
    async with running(world.consumer(record)):
        await eventually(lambda: has_effects(world, 2), within=60)
        [message] = await dead(world, 1)
    assert message.body == BODY
    assert message.headers["x-first-death-reason"] == "rejected"
    assert await effects(world) == {"a": [1, 2]}


async def publish_nested(world: World) -> None:
    nested = b""
    for _ in range(2_000):
        nested = b"\x01nF" + struct.pack(">I", len(nested)) + nested
    text = b"S" + struct.pack(">I", len(nested)) + b"x" * len(nested)
    table = b"F" + struct.pack(">I", len(nested)) + nested
    message = aio_pika.Message(BODY, headers={"n": "x" * len(nested)})
    await publish_frames(world, message, "order.stray", (text, table))


async def test_headers_nested_without_end_are_a_dead_letter(world: World) -> None:
    await publish_nested(world)
    await publish(world, *events(2))
    async with running(world.consumer(record)):
        await eventually(lambda: has_effects(world, 2), within=60)
        [dead_letter] = await dead(world, 1)
    assert dead_letter.body == BODY


async def test_an_event_takes_effect_whatever_its_other_properties_say(world: World) -> None:
    [first, second] = events(2)
    message = to_message(first)
    message.app_id = "stray-app"
    message.headers["sent"] = message.timestamp = datetime.fromtimestamp(1, UTC)
    await publish_frames(world, message, first.type, STRAYS["sender"], STRAYS["time"])
    await publish(world, second)
    async with running(world.consumer(record)):
        await eventually(lambda: has_effects(world, 2), within=60)
    assert await effects(world) == {"a": [1, 2]}


async def test_an_unsequenced_message_may_have_an_id_that_is_not_text(world: World) -> None:
    async with running(world.consumer(record, unsequenced=UnsequencedMessages())):
        for _ in range(2):
            await publish_frames(
                world,
                aio_pika.Message(b"{}", message_id="stray-id", type="order.happened"),
                "order.happened",
                STRAYS["message id"],
            )
        await publish(world, *events(1))
        await eventually(lambda: has_effects(world, 2), within=60)
    assert await effects(world) == {"str\\xe4y-id": [1], "a": [1]}


async def test_a_time_that_the_database_cannot_give_back_is_unknown(world: World) -> None:
    [(name,)] = await world.rows("SELECT current_database()")
    await world.execute(f"ALTER DATABASE \"{name}\" SET timezone TO 'Asia/Tokyo'")
    await world.engine.dispose()
    broken = True

    async def breaks(unit: UnitOfWork, event: Envelope) -> None:
        if broken:
            raise ValueError("not now")
        await record(unit, event)

    message = aio_pika.Message(b"{}", message_id="a", type="order.happened", timestamp=1)
    end = struct.pack(">Q", int(datetime(9999, 12, 31, 23, tzinfo=UTC).timestamp() * 1000))
    await publish_frames(world, message, "order.happened", (struct.pack(">Q", 1), end))
    async with running(world.consumer(breaks, unsequenced=UnsequencedMessages())):
        await eventually(lambda: parks(world, [("failed", 1)]), within=60)
        broken = False
        await eventually(lambda: has_effects(world, 1), within=60)


async def test_a_reader_of_a_stream_queue_goes_past_what_cannot_be_decoded(world: World) -> None:
    world.topology = Topology([EXCHANGE], [TAKES], {"everything": timedelta(days=1)})
    await publish_frames(world, stray(), "order.stray", STRAYS["message id"])
    await publish_frames(world, stray(), "order.stray", STRAYS["time"])
    await publish_nested(world)
    [event] = events(1)
    await publish(world, event)
    seen: list[Envelope | None] = []

    async def first(_: object) -> str:
        return "first"

    async def look(found: Sequence[stream_reader.StreamedEvent]) -> None:
        seen.extend(one.envelope for one in found)

    async def has_all() -> bool:
        return len(seen) >= 4

    reader = stream_reader.StreamReader(
        stream="everything",
        broker_url=world.broker_url,
        topology=world.topology,
        begin=first,
        handle=look,
    )
    async with running(reader):
        await eventually(has_all, within=60)
    assert [one and one.id for one in seen] == [None, None, None, event.id]

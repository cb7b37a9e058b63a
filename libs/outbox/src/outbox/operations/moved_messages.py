"""Messages that are moved from one queue to another, with all their properties.

Invariant: a message is acked in its first queue after the second one has confirmed it, so it can be
in both, and never in neither.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import DeliveredMessage

from outbox.addresses import Broker
from outbox.errors import BrokerRefused, TopologyMismatch
from outbox.losses import one_line
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.delivery_buffer import DeliveryBuffer
from outbox.rabbitmq.lenient_decoding import body_size

TOGETHER = 200
"""So many messages are published before the first is acked."""
QUIET = 0.5
"""After so many seconds without a delivery the queue may be empty."""


async def move_messages(broker_url: Broker, source: str, target: str, *, at_most: int) -> int:
    """Move messages to a queue, the oldest first; returns how many. Others may come meanwhile."""
    name, moved = f"outbox moves messages of {source}", 0
    async with (
        await connect(broker_url, name) as receiving,
        await connect(broker_url, name) as publishing,
        receiving.channel() as channel,
        publishing.channel(on_return_raises=True) as publisher,
    ):
        under = await publisher.get_underlay_channel()
        prefetch = max(1, min(TOGETHER, at_most))
        buffer = await DeliveryBuffer.open(channel, source, prefetch=prefetch, batch=prefetch)
        while moved < at_most:
            try:
                async with asyncio.timeout(QUIET):
                    batch = await buffer.next_batch()
            except TimeoutError:
                break
            batch = batch[: at_most - moved]
            await publish_unchanged(under, target, batch)
            await buffer.ack(batch)
            moved += len(batch)
    return moved


async def publish_unchanged(
    channel: UnderlayChannel, target: str, batch: list[DeliveredMessage]
) -> None:
    """Publish messages to a queue with all their properties; returns when all are confirmed.

    Returned messages are known by their id, so none of them may be in flight twice.
    """
    in_flight: dict[object, DeliveredMessage] = {}
    for delivery in batch:
        message_id = delivery.header.properties.message_id or delivery.delivery_tag
        if message_id in in_flight:
            await _confirm(channel, target, in_flight.values())
            in_flight.clear()
        in_flight[message_id] = delivery
    await _confirm(channel, target, in_flight.values())


async def _confirm(
    channel: UnderlayChannel, target: str, deliveries: Iterable[DeliveredMessage]
) -> None:
    try:
        await asyncio.gather(*(_passed_on(channel, target, one) for one in deliveries))
    except ChannelPreconditionFailed as problem:
        hint = "give this user the tag impersonator, or migrate as the user of the messages"
        raise BrokerRefused(f"{one_line(problem)}; {hint}") from problem


async def _passed_on(channel: UnderlayChannel, target: str, delivery: DeliveredMessage) -> None:
    size = body_size(delivery)
    if size != len(delivery.body):
        raise TopologyMismatch(f"a message has {size} bytes, more than an event: take it out first")
    properties = delivery.header.properties
    await channel.basic_publish(
        delivery.body, routing_key=target, properties=properties, mandatory=True
    )

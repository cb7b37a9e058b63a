"""Messages that are moved from one queue to another, with all their properties.

Invariant: a message is acked in its first queue after the second one has confirmed it, so it can be
in both, and never in neither.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelAccessRefused

from outbox.addresses import Broker
from outbox.errors import BrokerRefused, TopologyMismatch
from outbox.losses import one_line
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.delivery_buffer import DeliveryBuffer
from outbox.rabbitmq.lenient_decoding import body_size

logger = logging.getLogger(__name__)

Way = Callable[[AbstractConnection, str], AbstractAsyncContextManager[str]]
"""Gives the exchange by which a queue is reached."""
TOGETHER = 200
"""So many messages are published before the first is acked."""
QUIET = 0.5
"""After so many seconds without a delivery the queue may be empty."""


async def move_messages(broker_url: Broker, source: str, target: str, *, at_most: int) -> int:
    """Move messages to a queue, the oldest first; returns how many. Others may come meanwhile.

    Raises `BrokerRefused` for a message that only its own user may publish.
    """
    try:
        return await _move_all(broker_url, source, target, at_most, _default_exchange)
    except ChannelAccessRefused:  # before anything was moved: a service may not publish there
        logger.debug("messages of %s are moved by an exchange of their own", source)
    try:
        return await _move_all(broker_url, source, target, at_most, _own_exchange)
    except ChannelAccessRefused as problem:
        raise BrokerRefused(one_line(problem)) from problem


async def _move_all(broker_url: Broker, source: str, target: str, at_most: int, way: Way) -> int:
    name = f"outbox moves messages of {source}"
    async with (
        await connect(broker_url, name) as receiving,
        await connect(broker_url, name) as publishing,
        way(publishing, target) as exchange,
        receiving.channel() as channel,
        publishing.channel(on_return_raises=True) as publisher,
    ):
        prefetch = max(1, min(TOGETHER, at_most))
        buffer = await DeliveryBuffer.open(channel, source, prefetch=prefetch, batch=prefetch)
        return await _move(buffer, publisher, exchange, target, at_most)


async def _move(
    buffer: DeliveryBuffer, publisher: AbstractChannel, exchange: str, target: str, at_most: int
) -> int:
    under, moved = await publisher.get_underlay_channel(), 0
    while moved < at_most:
        try:
            async with asyncio.timeout(QUIET):
                batch = await buffer.next_batch()
        except TimeoutError:
            break
        batch = batch[: at_most - moved]
        await publish_unchanged(under, target, batch, exchange=exchange)
        await buffer.ack(batch)
        moved += len(batch)
    return moved


@asynccontextmanager
async def _default_exchange(_connection: AbstractConnection, _queue: str) -> AsyncIterator[str]:
    """The exchange that leads to every queue, for a user that may publish to it."""
    yield ""


@asynccontextmanager
async def _own_exchange(connection: AbstractConnection, queue: str) -> AsyncIterator[str]:
    """An exchange of our own before a queue, for a user that may declare and bind it."""
    name = f"{queue}.moved"
    async with connection.channel() as channel:
        exchange = await channel.declare_exchange(name, ExchangeType.DIRECT, auto_delete=True)
        target = await channel.get_queue(queue, ensure=False)
        await target.bind(exchange, queue)
        try:
            yield name
        finally:
            await target.unbind(exchange, queue)


async def publish_unchanged(
    channel: UnderlayChannel, target: str, batch: list[DeliveredMessage], *, exchange: str = ""
) -> None:
    """Publish messages to a queue with all their properties; returns when all are confirmed.

    Returned messages are known by their id, so none of them may be in flight twice.
    """
    in_flight: dict[object, DeliveredMessage] = {}
    for delivery in batch:
        message_id = delivery.header.properties.message_id or delivery.delivery_tag
        if message_id in in_flight:
            await _confirm(channel, exchange, target, in_flight.values())
            in_flight.clear()
        in_flight[message_id] = delivery
    await _confirm(channel, exchange, target, in_flight.values())


async def _confirm(
    channel: UnderlayChannel, exchange: str, target: str, deliveries: Iterable[DeliveredMessage]
) -> None:
    try:
        await asyncio.gather(*(_passed_on(channel, exchange, target, one) for one in deliveries))
    except ChannelPreconditionFailed as problem:
        hint = "give this user the tag impersonator, or move them as the user who published them"
        raise BrokerRefused(f"{one_line(problem)}; {hint}") from problem


async def _passed_on(
    channel: UnderlayChannel, exchange: str, target: str, delivery: DeliveredMessage
) -> None:
    size = body_size(delivery)
    if size != len(delivery.body):
        raise TopologyMismatch(f"a message has {size} bytes, more than an event: take it out first")
    properties = delivery.header.properties
    await channel.basic_publish(
        delivery.body,
        exchange=exchange,
        routing_key=target,
        properties=properties,
        mandatory=True,
    )

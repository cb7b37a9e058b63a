"""Faults inside the broker: events are published again past the relay, messages are stolen."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Any

import aio_pika
from aio_pika.abc import AbstractIncomingMessage
from pamqp.commands import Queue

from chaos.scenario import SIDES, TOPOLOGY, Environment, Side
from outbox import Envelope, Stream
from outbox.rabbitmq.cloudevents import to_message

_LATEST = """
SELECT event_id, aggregate_type, aggregate_id, sequence, type, version, created_at, payload::text,
       correlation_id, causation_id
  FROM outbox WHERE source = %s ORDER BY id DESC LIMIT %s
"""


async def publish_again(
    environment: Environment, source: str, count: int, rng: random.Random
) -> None:
    """Publish the latest events, published before or not: some twice, in any order."""
    latest = envelopes(environment, source, count)
    chosen = latest + rng.sample(latest, len(latest) // 3)
    rng.shuffle(chosen)
    await publish(environment, source, chosen)


def envelopes(environment: Environment, source: str, count: int) -> list[Envelope]:
    """The latest events of the outbox table, newest first."""
    with environment.connect(SIDES[source]) as connection:
        rows: list[Any] = connection.execute(_LATEST, [source, count]).fetchall()
    return [
        Envelope(id_, Stream(source, kind, aggregate), n, type_, version, at, text.encode(), *known)
        for id_, kind, aggregate, n, type_, version, at, text, *known in rows
    ]


async def publish(environment: Environment, source: str, events: list[Envelope]) -> None:
    async with await aio_pika.connect(environment.broker_url) as connection:
        await TOPOLOGY.ensure(connection)
        channel = await connection.channel()
        exchange = await channel.get_exchange(source, ensure=False)
        for event in events:
            await exchange.publish(to_message(event), event.type)


async def steal(environment: Environment, side: Side, *, within: float = 5) -> bool:
    """Consume one message, while no consumer runs; false if none came."""
    async with await aio_pika.connect(environment.broker_url) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        queue = await channel.get_queue(side.queue)
        first: asyncio.Future[AbstractIncomingMessage] = asyncio.get_running_loop().create_future()

        async def receive(message: AbstractIncomingMessage) -> None:
            if not first.done():
                first.set_result(message)

        await queue.consume(receive)
        with suppress(TimeoutError):
            message = await asyncio.wait_for(first, within)
            await message.ack()
            return True
    return False


async def messages(environment: Environment, side: Side) -> int:
    """How many messages wait in the queue, without those that are delivered but not acked."""
    return (await _queue(environment, side)).message_count or 0


async def consumers(environment: Environment, side: Side) -> int:
    """How many processes receive from the queue."""
    return (await _queue(environment, side)).consumer_count or 0


async def is_empty(environment: Environment, side: Side) -> bool:
    return await messages(environment, side) == 0


async def _queue(environment: Environment, side: Side) -> Queue.DeclareOk:
    async with await aio_pika.connect(environment.broker_url) as connection:
        channel = await connection.channel()
        return (await channel.declare_queue(side.queue, passive=True)).declaration_result

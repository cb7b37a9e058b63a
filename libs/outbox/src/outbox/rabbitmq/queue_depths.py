"""How full the queues are. Asking neither creates nor changes a queue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq.exceptions import ChannelAccessRefused

from outbox.addresses import Broker
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.topology import dead_letters_of


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """What a queue holds; None if there is no such queue, or if this user may not ask."""

    queue: str
    ready: int | None
    consumers: int | None
    dead: int | None


async def queue_depths(broker_url: Broker, names: Iterable[str]) -> list[QueueDepth]:
    """Ready messages, consumers and dead letters of these queues."""
    async with await connect(broker_url, "outbox cli") as connection:
        return [await _depth(connection, name) for name in names]


async def _depth(connection: AbstractConnection, name: str) -> QueueDepth:
    ready, consumers = await declared(connection, name)
    dead, _ = await declared(connection, dead_letters_of(name))
    return QueueDepth(name, ready, consumers, dead)


async def declared(connection: AbstractConnection, name: str) -> tuple[int | None, int | None]:
    """Ready messages and consumers of a queue (AMQP 0-9-1, queue.declare, "passive")."""
    # A channel for each question: the broker closes it with the answer "not found".
    async with connection.channel() as channel:
        try:
            queue = await channel.declare_queue(name, passive=True)
        except (ChannelNotFoundEntity, ChannelAccessRefused):
            return None, None
        result = queue.declaration_result
        return result.message_count, result.consumer_count

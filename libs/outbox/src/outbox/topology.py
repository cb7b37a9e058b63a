"""Exchanges, queues and bindings: declared by relays and consumers alike, before first use.

A queue takes whole aggregate types. Its delivery limit is out of reach, because at the limit a
broker drops everything prefetched together with the guilty message, and 0 or -1 means "drop at
once" on some versions. What leaves for the dead-letter queue does so at least once, which
needs `reject-publish` (RabbitMQ, "Quorum Queues", "Dead Lettering").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol
from uuid import uuid4

from aio_pika import ExchangeType, Message
from aio_pika.abc import AbstractChannel, AbstractConnection
from aio_pika.exceptions import ChannelPreconditionFailed, PublishError
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource

from outbox.errors import BrokerRefused, TopologyMismatch

DEAD_LETTERS = "dead"
DELIVERY_LIMIT = 1_000_000
SEGMENT_BYTES = 50_000_000


class Subscription(Protocol):
    """Which queue takes which events of which exchange."""

    @property
    def exchange(self) -> str: ...
    @property
    def queue(self) -> str: ...
    @property
    def routing_keys(self) -> tuple[str, ...]: ...


class Topology:
    """All that has to be there before the first publish."""

    def __init__(
        self,
        exchanges: Iterable[str],
        subscriptions: Iterable[Subscription],
        streams: Mapping[str, timedelta] | None = None,
    ) -> None:
        self.exchanges = tuple(exchanges)
        self.subscriptions = tuple(subscriptions)
        self.streams = dict(streams or {})
        """Stream queues that take everything, and how long each keeps it."""

    @property
    def queues(self) -> tuple[str, ...]:
        """Every consuming queue once, without the dead-letter queues."""
        return tuple(dict.fromkeys(subscription.queue for subscription in self.subscriptions))

    async def ensure(self, connection: AbstractConnection) -> None:
        """The same as `ensure_on`, on a channel of its own."""
        async with connection.channel(on_return_raises=True) as channel:
            await self.ensure_on(channel)

    async def ensure_on(self, channel: AbstractChannel) -> None:
        """Declare and bind everything, and prove that an unroutable message comes back.

        Harmless when it is all there. For those who publish; the channel must confirm, and raise
        on returned messages. Raises `TopologyMismatch` or `BrokerRefused`; neither mends itself.
        """
        await self.declare_on(channel)
        await _audit_hand_off(channel)

    async def declare_on(self, channel: AbstractChannel) -> None:
        """Declare and bind everything, and publish nothing. Raises as `ensure_on` does.

        For those who consume: a broker short of memory or disk reads no more from a connection
        that has published, not even acks, and would never be emptied (RabbitMQ, "Alarms").
        """
        try:
            await self._declare(channel)
        except (ChannelPreconditionFailed, ChannelLockedResource) as problem:
            raise TopologyMismatch(str(problem)) from problem
        except ChannelAccessRefused as problem:
            raise BrokerRefused(str(problem)) from problem

    async def _declare(self, channel: AbstractChannel) -> None:
        for name in self.exchanges:
            await channel.declare_exchange(name, ExchangeType.TOPIC, durable=True)
        await channel.declare_exchange(DEAD_LETTERS, ExchangeType.DIRECT, durable=True)
        for name in self.queues:
            dead = await channel.declare_queue(
                dead_letters_of(name), durable=True, arguments={"x-queue-type": "quorum"}
            )
            await dead.bind(DEAD_LETTERS, name)
            await channel.declare_queue(name, durable=True, arguments=queue_arguments(name))
        for subscription in self.subscriptions:
            queue = await channel.get_queue(subscription.queue, ensure=False)
            for key in subscription.routing_keys:
                await queue.bind(subscription.exchange, key)
        # After the queues: with a stream bound, an event whose own queue is missing is confirmed.
        for name, kept in self.streams.items():
            stream = await channel.declare_queue(
                name, durable=True, arguments=stream_arguments(kept)
            )
            for exchange in self.exchanges:
                await stream.bind(exchange, "#")


def dead_letters_of(queue: str) -> str:
    """Where a message goes that cannot even be attributed to a stream."""
    return f"{queue}.dead"


def queue_arguments(name: str) -> dict[str, Any]:
    """The arguments of a consuming queue (RabbitMQ, "Quorum Queues", "Queue Arguments")."""
    return {
        "x-queue-type": "quorum",
        "x-single-active-consumer": True,
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": DEAD_LETTERS,
        "x-dead-letter-routing-key": name,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


def stream_arguments(kept: timedelta) -> dict[str, Any]:
    """The arguments of a stream (RabbitMQ, "Streams", "Retention").

    Age is looked at when a segment is full, hence segments smaller than the default of 500 MB.
    """
    return {
        "x-queue-type": "stream",
        "x-max-age": f"{int(kept.total_seconds())}s",
        "x-stream-max-segment-size-bytes": SEGMENT_BYTES,
    }


async def _audit_hand_off(channel: AbstractChannel) -> None:
    """Prove that an unroutable message comes back, instead of trusting the client's defaults."""
    exchange = await channel.get_exchange(DEAD_LETTERS, ensure=False)
    probe = Message(b"", message_id=str(uuid4()))
    try:
        await exchange.publish(probe, f"audit-{probe.message_id}", mandatory=True, timeout=10)
    except PublishError:
        return
    raise TopologyMismatch("an unroutable message was confirmed instead of returned")

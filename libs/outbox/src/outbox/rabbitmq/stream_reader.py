"""Reads a stream queue from an offset on. Nothing is removed: others may read it again.

A broker keeps no offset for AMQP 0-9-1 consumers of a stream queue (RabbitMQ, "Streams", "Offset
Tracking"), so the reader's owner keeps it. What was handled before it was kept is handled again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import DeliveredMessage
from pamqp.common import FieldTable

from outbox.addresses import Broker, BrokerAddress
from outbox.errors import UnreadableMessage
from outbox.event import Envelope
from outbox.rabbitmq.cloudevents import from_delivery
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.delivery_buffer import ConsumerCancelled, DeliveryBuffer
from outbox.rabbitmq.topology import Topology
from outbox.supervise import Up, keep_running

__all__ = ["Offset", "StreamBounds", "StreamReader", "StreamedEvent"]

PREFETCH, BATCH = 500, 500
ASK_AGAIN = 3.0
ALL_AT_ONCE = 65_535

Offset = int | datetime | str
"""A number; a time, for what was published since about then; or "first", "last", "next"."""


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One message of a stream queue; without an envelope if it is not a readable event."""

    offset: int
    envelope: Envelope | None


class StreamBounds:
    """Both ends of one stream queue, as they are when asked for."""

    def __init__(self, broker: AbstractConnection, stream: str) -> None:
        self._broker = broker
        self._stream = stream

    async def oldest(self) -> StreamedEvent:
        """The oldest message. In an empty stream queue, wait until it has one."""
        async with self._consuming("first", 1) as (_, buffer):
            return event_of(await buffer.next())

    async def newest(self) -> StreamedEvent | None:
        """The newest message; None if there is none."""
        # The broker begins with the newest chunk, and has sent all of it with its first message.
        async with self._consuming("last", ALL_AT_ONCE) as (channel, buffer):
            newest = await self._soon(buffer)
            while newest is None:
                count = await self._count(channel)
                if buffer.is_empty and count == 0:
                    return None
                newest = await self._soon(buffer)
            await self._count(channel)
            while not buffer.is_empty:
                newest = event_of(await buffer.next())
        return newest

    async def since(self, time: datetime) -> int | None:
        """The offset of the first message published since about then; None if there is none."""
        async with self._consuming(time, 1) as (channel, buffer):
            found = await self._soon(buffer)
            # The newest message, if there is one, shows that this broker does deliver.
            if found is None and await self.newest() is not None:
                await self._count(channel)
                found = None if buffer.is_empty else event_of(await buffer.next())
        return None if found is None else found.offset

    @asynccontextmanager
    async def _consuming(
        self, offset: Offset, prefetch: int
    ) -> AsyncIterator[tuple[AbstractChannel, DeliveryBuffer]]:
        async with self._broker.channel(publisher_confirms=False) as channel:
            arguments: FieldTable = {"x-stream-offset": offset}
            buffer = await DeliveryBuffer.open(
                channel, self._stream, prefetch=prefetch, arguments=arguments
            )
            yield channel, buffer

    async def _soon(self, buffer: DeliveryBuffer) -> StreamedEvent | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(ASK_AGAIN):
                return event_of(await buffer.next())
        return None

    async def _count(self, channel: AbstractChannel) -> int:
        """How many messages there are, as far as the broker has counted by now."""
        queue = await channel.declare_queue(self._stream, passive=True)
        return queue.declaration_result.message_count or 0


def event_of(delivery: DeliveredMessage) -> StreamedEvent:
    """The event of a delivery, with its offset in the stream queue."""
    headers = delivery.header.properties.headers or {}
    offset = headers.get("x-stream-offset")
    assert isinstance(offset, int)
    try:
        return StreamedEvent(offset, from_delivery(delivery))
    except UnreadableMessage:
        return StreamedEvent(offset, None)


class StreamReader:
    """Gives batches of events to `handle`, in the order in which the broker stored them."""

    def __init__(
        self,
        *,
        stream: str,
        broker_url: Broker,
        topology: Topology,
        begin: Callable[[StreamBounds], Coroutine[None, None, Offset]],
        handle: Callable[[Sequence[StreamedEvent]], Awaitable[None]],
        linger: float = 0.0,
    ) -> None:
        """`linger` is how many seconds a batch waits to be full: what it costs is then shared."""
        self._stream = stream
        self._broker = BrokerAddress.of(broker_url)
        self._topology = topology
        self._begin = begin
        self._handle = handle
        self._linger = linger
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Read until told to stop, through any loss of the broker; each session asks `begin`.

        `begin` may ask for both ends first: a stream queue that was deleted counts from 0 again.
        Raises `BrokerRefused` or `TopologyMismatch`, which need a person.
        """
        await keep_running(f"reader of {self._stream}", lambda up: self._session(up, stop), stop)

    async def _session(self, up: Up, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(
                await connect(self._broker, f"stream queue {self._stream}")
            )
            channel = await broker.channel(publisher_confirms=False)
            await self._topology.declare_stream_queue(channel, self._stream)
            self.running = True
            try:
                begin = await _unless(stop, self._begin(StreamBounds(broker, self._stream)))
                if begin is None or stop.is_set():
                    return
                arguments: FieldTable = {"x-stream-offset": begin}
                buffer = await DeliveryBuffer.open(
                    channel, self._stream, prefetch=PREFETCH, batch=BATCH, arguments=arguments
                )
                waker = asyncio.create_task(_wake(stop, buffer))
                stack.callback(waker.cancel)
                up("is connected")
                await self._read(buffer, stop)
            finally:
                self.running = False

    async def _read(self, buffer: DeliveryBuffer, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                deliveries = await buffer.next_batch(linger=self._linger)
            except ConsumerCancelled:
                if stop.is_set():
                    return
                raise
            await self._handle([event_of(delivery) for delivery in deliveries])
            await buffer.ack(deliveries)


async def _unless(stop: asyncio.Event, asked: Coroutine[None, None, Offset]) -> Offset | None:
    """The answer, or None if the call to stop comes first."""
    asking, stopping = asyncio.create_task(asked), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await asking if asking.done() else None
    finally:
        asking.cancel()
        stopping.cancel()
        await asyncio.gather(asking, stopping, return_exceptions=True)


async def _wake(stop: asyncio.Event, buffer: DeliveryBuffer) -> None:
    await stop.wait()
    buffer.wake()

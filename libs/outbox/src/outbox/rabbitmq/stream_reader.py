"""Reads a stream queue from an offset on. Nothing is removed: others may read it again.

A broker keeps no offset for AMQP 0-9-1 consumers of a stream queue (RabbitMQ, "Streams", "Offset
Tracking"), so the reader's owner keeps it. What was handled before it was kept is handled again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack

from pamqp.common import FieldTable

from outbox.addresses import Broker, BrokerAddress
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.delivery_buffer import ConsumerCancelled, DeliveryBuffer
from outbox.rabbitmq.stream_bounds import Offset, StreamBounds, StreamedEvent, event_of
from outbox.rabbitmq.topology import Topology
from outbox.supervise import Up, keep_running

__all__ = ["Offset", "StreamBounds", "StreamReader", "StreamedEvent"]

PREFETCH, BATCH = 500, 500


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
    ) -> None:
        self._stream = stream
        self._broker = BrokerAddress.of(broker_url)
        self._topology = topology
        self._begin = begin
        self._handle = handle
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
                deliveries = await buffer.next_batch()
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

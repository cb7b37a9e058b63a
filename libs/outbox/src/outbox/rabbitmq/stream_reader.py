"""Reading a stream queue from an offset on: nothing is taken off it, anybody may read it again.

A broker keeps no offset for AMQP 0-9-1 consumers of a stream (RabbitMQ, "Streams", "Offset
Tracking"), so the reader keeps it. What was handled and not kept is handled again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, suppress

from aiormq.abc import AbstractChannel, DeliveredMessage

from outbox.addresses import Broker, BrokerAddress
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.stream_bounds import (
    Arrivals,
    Offset,
    StreamBounds,
    StreamedEvent,
    consuming,
    event_of,
)
from outbox.rabbitmq.topology import Topology
from outbox.supervise import Up, keep_running

__all__ = ["Offset", "StreamBounds", "StreamReader", "StreamedEvent"]

PREFETCH, BATCH = 500, 500


class StreamReader:
    """Gives batches of events to `handle`, in the order in which the broker took them."""

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

        It may look at both ends first: a stream that was deleted counts from 0 anew.
        Raises `BrokerRefused` or `TopologyMismatch`, which need a person.
        """
        await keep_running(f"reader of {self._stream}", lambda up: self._session(up, stop), stop)

    async def _session(self, up: Up, stop: asyncio.Event) -> None:
        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(
                await connect(self._broker, f"stream {self._stream}")
            )
            channel = await broker.channel(publisher_confirms=False)
            await self._topology.declare_stream_on(channel, self._stream)
            self.running = True
            try:
                begin = await _unless(stop, self._begin(StreamBounds(broker, self._stream)))
                if begin is None or stop.is_set():
                    return
                underlay, arrived = await consuming(channel, self._stream, begin, PREFETCH)
                waker = asyncio.create_task(_wake(stop, arrived))
                stack.callback(waker.cancel)
                up("is connected")
                await self._read(underlay, arrived, stop)
            finally:
                self.running = False

    async def _read(self, channel: AbstractChannel, arrived: Arrivals, stop: asyncio.Event) -> None:
        while not stop.is_set():
            batch = await _batch(arrived)
            if batch[-1] is None and not stop.is_set():
                raise ConnectionError(f"the broker ended the reader of {self._stream}")
            deliveries = [delivery for delivery in batch if delivery is not None]
            if deliveries:
                await self._handle([event_of(delivery) for delivery in deliveries])
                tag = deliveries[-1].delivery_tag
                assert tag is not None
                await channel.basic_ack(tag, multiple=True)


async def _unless(stop: asyncio.Event, asked: Coroutine[None, None, Offset]) -> Offset | None:
    """What was asked for, or None if the call to stop comes first."""
    asking, stopping = asyncio.create_task(asked), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({asking, stopping}, return_when=asyncio.FIRST_COMPLETED)
        return await asking if asking.done() else None
    finally:
        asking.cancel()
        stopping.cancel()
        await asyncio.gather(asking, stopping, return_exceptions=True)


async def _wake(stop: asyncio.Event, arrived: Arrivals) -> None:
    await stop.wait()
    arrived.put_nowait(None)


async def _batch(arrived: Arrivals) -> list[DeliveredMessage | None]:
    batch = [await arrived.get()]
    with suppress(asyncio.QueueEmpty):
        while len(batch) < BATCH and batch[-1] is not None:
            batch.append(arrived.get_nowait())
    return batch

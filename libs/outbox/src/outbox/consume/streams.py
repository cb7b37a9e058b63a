"""Reading a stream queue from an offset on: nothing is taken off it, anybody may read it again.

A broker keeps no offset for AMQP 0-9-1 consumers of a stream (RabbitMQ, "Streams", "Offset
Tracking"), so the reader keeps it. What was handled and not kept is handled again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import datetime

from aio_pika.abc import AbstractConnection
from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.common import FieldTable

from outbox.broker import connect
from outbox.consume.turns import InTurn
from outbox.envelope import Envelope
from outbox.errors import UnreadableMessage
from outbox.lifecycle import reconnecting
from outbox.message import from_delivery
from outbox.topology import Topology

__all__ = ["Head", "InTurn", "Offset", "StreamReader", "StreamedEvent"]

PREFETCH, BATCH = 500, 500
HEAD_TIMEOUT = 3.0

Offset = int | datetime | str
"""A number; a time, for what was published since about then; or "first", "last", "next"."""


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One message of a stream; no envelope if it has no place in a stream of events."""

    offset: int
    envelope: Envelope | None


Head = Callable[[], Awaitable["StreamedEvent | None"]]
"""Gives the oldest message that a stream has, None if it has none."""


class StreamReader:
    """Gives batches of events to `handle`, in the order in which the broker took them."""

    def __init__(
        self,
        *,
        stream: str,
        broker_url: str,
        topology: Topology,
        begin: Callable[[Head], Awaitable[Offset]],
        handle: Callable[[Sequence[StreamedEvent]], Awaitable[None]],
    ) -> None:
        self._stream = stream
        self._broker_url = broker_url
        self._topology = topology
        self._begin = begin
        self._handle = handle
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Read until told to stop, through any loss of the broker; each session asks `begin`.

        It may look at the oldest message first: a stream that was deleted counts from 0 anew.
        Raises `BrokerRefused` or `TopologyMismatch`, which need a person.
        """
        await reconnecting(f"reader of {self._stream}", lambda: self._session(stop), stop)

    async def _session(self, stop: asyncio.Event) -> None:
        arrived: asyncio.Queue[DeliveredMessage | None] = asyncio.Queue()

        async def take(delivery: DeliveredMessage) -> None:
            arrived.put_nowait(delivery)

        async with AsyncExitStack() as stack:
            broker = await stack.enter_async_context(
                await connect(self._broker_url, f"stream {self._stream}")
            )
            channel = await broker.channel(publisher_confirms=False)
            await self._topology.declare_on(channel)
            await channel.set_qos(prefetch_count=PREFETCH)
            underlay = await channel.get_underlay_channel()
            underlay.on_consumer_cancel_callbacks.add(lambda _frame: arrived.put_nowait(None))
            channel.close_callbacks.add(lambda *_: arrived.put_nowait(None))
            begin = await self._begin(lambda: _head(broker, self._stream))
            arguments: FieldTable = {"x-stream-offset": begin}
            await underlay.basic_consume(self._stream, take, arguments=arguments)
            waker = asyncio.create_task(_wake(stop, arrived))
            stack.callback(waker.cancel)
            self.running = True
            try:
                await self._read(underlay, arrived, stop)
            finally:
                self.running = False

    async def _read(
        self,
        channel: AbstractChannel,
        arrived: asyncio.Queue[DeliveredMessage | None],
        stop: asyncio.Event,
    ) -> None:
        while not stop.is_set():
            batch = await _batch(arrived)
            if batch[-1] is None and not stop.is_set():
                raise ConnectionError(f"the broker ended the reader of {self._stream}")
            deliveries = [delivery for delivery in batch if delivery is not None]
            if deliveries:
                await self._handle([_event(delivery) for delivery in deliveries])
                tag = deliveries[-1].delivery_tag
                assert tag is not None
                await channel.basic_ack(tag, multiple=True)


async def _head(broker: AbstractConnection, stream: str) -> StreamedEvent | None:
    found: asyncio.Future[DeliveredMessage] = asyncio.get_running_loop().create_future()

    async def take(delivery: DeliveredMessage) -> None:
        if not found.done():
            found.set_result(delivery)

    async with broker.channel(publisher_confirms=False) as channel:
        await channel.set_qos(prefetch_count=1)
        underlay = await channel.get_underlay_channel()
        await underlay.basic_consume(stream, take, arguments={"x-stream-offset": "first"})
        try:
            return _event(await asyncio.wait_for(found, HEAD_TIMEOUT))
        except TimeoutError:
            return None


async def _wake(stop: asyncio.Event, arrived: asyncio.Queue[DeliveredMessage | None]) -> None:
    await stop.wait()
    arrived.put_nowait(None)


async def _batch(
    arrived: asyncio.Queue[DeliveredMessage | None],
) -> list[DeliveredMessage | None]:
    batch = [await arrived.get()]
    with suppress(asyncio.QueueEmpty):
        while len(batch) < BATCH and batch[-1] is not None:
            batch.append(arrived.get_nowait())
    return batch


def _event(delivery: DeliveredMessage) -> StreamedEvent:
    headers = delivery.header.properties.headers or {}
    offset = headers.get("x-stream-offset")
    assert isinstance(offset, int)
    try:
        return StreamedEvent(offset, from_delivery(delivery))
    except UnreadableMessage:
        return StreamedEvent(offset, None)

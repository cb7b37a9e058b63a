"""Where a stream begins and ends: its broker is looked at, because it does not say.

Silence means nothing here: neither a slow broker nor a process that stood still makes a stream
look empty, or ended. What a broker has sent comes before its answer to a later request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import DeliveredMessage
from pamqp.common import FieldTable

from outbox.errors import UnreadableMessage
from outbox.event import Envelope
from outbox.rabbitmq.cloudevents import from_delivery

LOOK_AGAIN = 3.0
ALL_AT_ONCE = 65_535

Offset = int | datetime | str
"""A number; a time, for what was published since about then; or "first", "last", "next"."""
Arrivals = asyncio.Queue[DeliveredMessage | None]
"""What has come; None when the broker has ended it."""


@dataclass(frozen=True, slots=True)
class StreamedEvent:
    """One message of a stream; no envelope if it has no place in a stream of events."""

    offset: int
    envelope: Envelope | None


class StreamBounds:
    """Both ends of one stream, as they are when asked for."""

    def __init__(self, broker: AbstractConnection, stream: str) -> None:
        self._broker = broker
        self._stream = stream

    async def oldest(self) -> StreamedEvent:
        """The oldest message; an empty stream's once it has one."""
        async with self._looking("first", 1) as (_, arrived):
            return await self._next(arrived)

    async def newest(self) -> StreamedEvent | None:
        """The newest message; None if there is none."""
        # The broker begins with the newest chunk, and has sent all of it with its first message.
        async with self._looking("last", ALL_AT_ONCE) as (channel, arrived):
            newest = await self._soon(arrived)
            while newest is None:
                count = await self._answered(channel)
                if arrived.empty() and count == 0:
                    return None
                newest = await self._soon(arrived)
            await self._answered(channel)
            while not arrived.empty():
                newest = await self._next(arrived)
        return newest

    async def since(self, time: datetime) -> int | None:
        """The offset of the first message published since about then; None if there is none."""
        async with self._looking(time, 1) as (channel, arrived):
            found = await self._soon(arrived)
            # Another look shows that messages do come from this broker, if there are any.
            if found is None and await self.newest() is not None:
                await self._answered(channel)
                found = None if arrived.empty() else await self._next(arrived)
        return None if found is None else found.offset

    @asynccontextmanager
    async def _looking(
        self, offset: Offset, prefetch: int
    ) -> AsyncIterator[tuple[AbstractChannel, Arrivals]]:
        async with self._broker.channel(publisher_confirms=False) as channel:
            _, arrived = await consuming(channel, self._stream, offset, prefetch)
            yield channel, arrived

    async def _soon(self, arrived: Arrivals) -> StreamedEvent | None:
        with suppress(TimeoutError):
            return await asyncio.wait_for(self._next(arrived), LOOK_AGAIN)
        return None

    async def _next(self, arrived: Arrivals) -> StreamedEvent:
        delivery = await arrived.get()
        if delivery is None:
            raise ConnectionError(f"the broker ended a look at {self._stream}")
        return event_of(delivery)

    async def _answered(self, channel: AbstractChannel) -> int:
        """How many messages there are, as far as the broker has counted by now."""
        queue = await channel.declare_queue(self._stream, passive=True)
        return queue.declaration_result.message_count or 0


async def consuming(
    channel: AbstractChannel, stream: str, offset: Offset, prefetch: int
) -> tuple[UnderlayChannel, Arrivals]:
    """Have what the stream holds from `offset` on sent to this channel."""
    arrived: Arrivals = asyncio.Queue()

    async def take(delivery: DeliveredMessage) -> None:
        arrived.put_nowait(delivery)

    await channel.set_qos(prefetch_count=prefetch)
    underlay = await channel.get_underlay_channel()
    underlay.on_consumer_cancel_callbacks.add(lambda _frame: arrived.put_nowait(None))
    channel.close_callbacks.add(lambda *_: arrived.put_nowait(None))
    arguments: FieldTable = {"x-stream-offset": offset}
    await underlay.basic_consume(stream, take, arguments=arguments)
    return underlay, arrived


def event_of(delivery: DeliveredMessage) -> StreamedEvent:
    """What was delivered, with its place in the stream."""
    headers = delivery.header.properties.headers or {}
    offset = headers.get("x-stream-offset")
    assert isinstance(offset, int)
    try:
        return StreamedEvent(offset, from_delivery(delivery))
    except UnreadableMessage:
        return StreamedEvent(offset, None)

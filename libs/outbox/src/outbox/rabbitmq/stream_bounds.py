"""Where a stream queue begins and ends, found out by consuming it: the broker does not tell.

Invariant: silence means nothing (see decision 0852). Neither a slow broker nor a process that stood
still makes a stream queue look empty. Messages that a broker has sent arrive before its answer to a
later request.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime

from aio_pika.abc import AbstractChannel, AbstractConnection
from aiormq.abc import DeliveredMessage
from pamqp.common import FieldTable

from outbox.errors import UnreadableMessage
from outbox.event import Envelope
from outbox.rabbitmq.cloudevents import from_delivery
from outbox.rabbitmq.delivery_buffer import DeliveryBuffer

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
            return event_of(await asyncio.wait_for(buffer.next(), ASK_AGAIN))
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

"""Deliveries of one queue, in batches: whatever has arrived, up to a limit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from aio_pika.abc import AbstractChannel
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import DeliveredMessage

LINGER = 0.004
"""Seconds that a busy consumer waits for a larger batch; they cost less than a transaction."""
BUSY = 10
"""So many deliveries at once, and more are likely to follow."""


class ConsumerCancelled(ConnectionError):
    """The broker ended the consumer: the queue was deleted or the channel closed."""


class DeliveryBuffer:
    """Collects deliveries. Bounded by the channel's prefetch: unacked ones count against it."""

    def __init__(self, channel: UnderlayChannel, *, batch: int) -> None:
        self._channel = channel
        self._batch = batch
        self._busy = False
        self._arrived: asyncio.Queue[DeliveredMessage | None] = asyncio.Queue()

    @classmethod
    async def open(
        cls, channel: AbstractChannel, queue: str, *, batch: int, tag: str
    ) -> DeliveryBuffer:
        """Begin to consume. Deliveries are taken from beneath aio-pika, at half the CPU."""
        underlay = await channel.get_underlay_channel()
        intake = cls(underlay, batch=batch)
        underlay.on_consumer_cancel_callbacks.add(lambda _frame: intake.wake())
        channel.close_callbacks.add(lambda *_: intake.wake())
        await underlay.basic_consume(queue, intake._take, consumer_tag=tag)
        return intake

    async def _take(self, delivery: DeliveredMessage) -> None:
        self._arrived.put_nowait(delivery)

    def wake(self) -> None:
        """Let `next_batch` end; it raises unless there are deliveries before this call."""
        self._arrived.put_nowait(None)

    async def next_batch(self) -> list[DeliveredMessage]:
        """Wait for a delivery, take what else is there. Raises `ConsumerCancelled` at the end.

        Where little comes, nothing waits for company.
        """
        batch = [await self._arrived.get()]
        if self._busy and self._arrived.qsize() < self._batch - 1:
            await asyncio.sleep(LINGER)
        with suppress(asyncio.QueueEmpty):
            while len(batch) < self._batch and batch[-1] is not None:
                batch.append(self._arrived.get_nowait())
        self._busy = len(batch) >= BUSY
        if batch[-1] is None:
            raise ConsumerCancelled("the broker ended the consumer")
        return [delivery for delivery in batch if delivery is not None]

    async def ack(self, deliveries: Sequence[DeliveredMessage]) -> None:
        """Ack these and all before them, in one frame (AMQP 0-9-1 section 1.8.3.13)."""
        if deliveries:
            tag = deliveries[-1].delivery_tag
            assert tag is not None
            await self._channel.basic_ack(tag, multiple=True)

    async def dead_letter(self, delivery: DeliveredMessage) -> None:
        """Hand a message to the queue's dead-letter queue."""
        assert delivery.delivery_tag is not None
        await self._channel.basic_reject(delivery.delivery_tag, requeue=False)

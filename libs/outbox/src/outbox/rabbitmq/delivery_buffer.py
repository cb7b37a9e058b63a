"""The deliveries that one reader of a stream queue has received and not handled yet.

Invariant: nothing is lost here. Deliveries that are not acked go back to the queue with the
connection, and the channel's prefetch bounds how many there are.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Self

from aio_pika.abc import AbstractChannel
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import DeliveredMessage
from pamqp.common import FieldTable

from outbox.rabbitmq.direct_deliveries import receive_directly


class ConsumerCancelled(ConnectionError):
    """The broker ended the consumer: the queue was deleted or the channel closed."""


class DeliveryBuffer:
    """Receives the deliveries of one queue on one channel."""

    def __init__(self, channel: UnderlayChannel, queue: str, *, batch: int) -> None:
        self._channel = channel
        self._queue = queue
        self._batch = batch
        self._received: deque[DeliveredMessage | None] = deque()
        self._has_some = asyncio.Event()
        self._is_full = asyncio.Event()

    @classmethod
    async def open(
        cls,
        channel: AbstractChannel,
        queue: str,
        *,
        prefetch: int,
        batch: int = 1,
        arguments: FieldTable | None = None,
    ) -> Self:
        """Begin to consume."""
        await channel.set_qos(prefetch_count=prefetch)
        underlay = await channel.get_underlay_channel()
        buffer = cls(underlay, queue, batch=batch)
        underlay.on_consumer_cancel_callbacks.add(lambda _frame: buffer.wake())
        channel.close_callbacks.add(lambda *_: buffer.wake())
        receive_directly(underlay, buffer._received_one)
        await underlay.basic_consume(queue, buffer._on_message, arguments=arguments)
        return buffer

    @property
    def is_empty(self) -> bool:
        """Whether nothing more has been received."""
        return not self._received

    def wake(self) -> None:
        """Make the wait for a delivery raise `ConsumerCancelled`."""
        self._received.append(None)
        self._has_some.set()
        self._is_full.set()

    async def next(self) -> DeliveredMessage:
        """Wait for one delivery. Raises `ConsumerCancelled` at the end."""
        while not self._received:
            self._has_some.clear()
            await self._has_some.wait()
        return self._delivered(self._received.popleft())

    async def next_batch(self, *, linger: float = 0.0) -> list[DeliveredMessage]:
        """Wait for a delivery, and add what else is there. Raises as `next` does.

        What comes within `linger` seconds is added too, until the batch is full.
        """
        batch = [await self.next()]
        if linger and not self._fills_a_batch:
            self._is_full.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._is_full.wait(), linger)
        while len(batch) < self._batch and not self.is_empty:
            batch.append(self._delivered(self._received.popleft()))
        return batch

    async def ack(self, deliveries: Sequence[DeliveredMessage]) -> None:
        """Ack these and all before them, in one frame (AMQP 0-9-1 section 1.8.3.13)."""
        if deliveries:
            tag = deliveries[-1].delivery_tag
            assert tag is not None
            await self._channel.basic_ack(tag, multiple=True)

    def _delivered(self, received: DeliveredMessage | None) -> DeliveredMessage:
        if received is None:
            raise ConsumerCancelled(f"the broker ended the consumer of {self._queue}")
        return received

    @property
    def _fills_a_batch(self) -> bool:
        """Beside the one that has been taken."""
        return len(self._received) >= self._batch - 1

    def _received_one(self, delivery: DeliveredMessage) -> None:
        self._received.append(delivery)
        self._has_some.set()
        if self._fills_a_batch:
            self._is_full.set()

    async def _on_message(self, delivery: DeliveredMessage) -> None:
        self._received_one(delivery)

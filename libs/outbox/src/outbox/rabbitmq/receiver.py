"""Receives the deliveries of one queue beside other consumers of it, and acks them in any order.

Invariant: a `multiple` ack never covers a delivery that is not to be acked. Deliveries that are not
acked go back to the queue with the channel, and the prefetch bounds how many there are.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Self

from aio_pika.abc import AbstractChannel
from aiormq.abc import AbstractChannel as UnderlayChannel
from aiormq.abc import ChannelFrame, DeliveredMessage

from outbox.rabbitmq.direct_deliveries import Receive, receive_directly

_ACK = struct.Struct(">BHIHHQBB")
"""A method frame with basic.ack (AMQP 0-9-1 sections 4.2.3 and 1.8.3.13)."""
_METHOD, _SIZE, _BASIC, _BASIC_ACK, _END = 1, 13, 60, 80, 0xCE


class Receiver:
    """Consumes one queue on one channel; `receive` gets each delivery in the order of arrival."""

    def __init__(self, channel: UnderlayChannel, receive: Receive) -> None:
        self._channel: Any = channel
        self._receive = receive
        # In the order of their tags. The first key of a plain dict is slow to find after deletes.
        self._open: OrderedDict[int, None] = OrderedDict()

    @classmethod
    async def on(
        cls, channel: AbstractChannel, receive: Receive, *, ended: Callable[[], None]
    ) -> Self:
        """`ended` is called when the broker ends the consumer or the channel."""
        underlay = await channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _frame: ended())
        channel.close_callbacks.add(lambda *_: ended())
        return cls(underlay, receive)

    async def begin(self, queue: str, *, prefetch: int, tag: str | None = None) -> None:
        """Begin to consume: `receive` may be called before this returns."""
        await self._channel.basic_qos(prefetch_count=prefetch)
        receive_directly(self._channel, self.delivered)
        await self._channel.basic_consume(queue, self._on_message, consumer_tag=tag)

    def delivered(self, delivery: DeliveredMessage) -> None:
        """A delivery has arrived."""
        assert delivery.delivery_tag is not None
        self._open[delivery.delivery_tag] = None
        self._receive(delivery)

    async def ack(self, deliveries: Iterable[DeliveredMessage]) -> None:
        """Ack these in one write, and return when it is sent.

        Those before which nothing is open need one frame together.
        """
        tags = sorted(one.delivery_tag for one in deliveries if one.delivery_tag is not None)
        frames = self.frames_for(tags)
        if not frames:
            return
        if self._channel.is_closed:
            raise ConnectionError("the channel is closed: what is not acked comes again")
        sent = self._channel.create_future()
        await self._channel.write_queue.put(
            ChannelFrame(payload=frames, should_close=False, drain_future=sent)
        )
        await sent

    def frames_for(self, tags: list[int]) -> bytes:
        """The frames that ack these tags, which are in order; they are open no longer."""
        for tag in tags:
            del self._open[tag]
        first = next(iter(self._open), None)
        whole = len(tags) if first is None else sum(tag < first for tag in tags)
        number = self._channel.number
        acks = [(tags[whole - 1], True)] if whole else []
        acks += [(tag, False) for tag in tags[whole:]]
        return b"".join(
            _ACK.pack(_METHOD, number, _SIZE, _BASIC, _BASIC_ACK, tag, multiple, _END)
            for tag, multiple in acks
        )

    def dead_letter(self, delivery: DeliveredMessage) -> None:
        """Hand a message to the queue's dead-letter queue.

        It is sent by a task, because the channel's reader, which calls `receive`, must not wait.
        """
        assert delivery.delivery_tag is not None
        del self._open[delivery.delivery_tag]
        sending = self._channel.basic_reject(delivery.delivery_tag, requeue=False)
        self._channel.create_task(sending)

    async def _on_message(self, delivery: DeliveredMessage) -> None:
        self.delivered(delivery)

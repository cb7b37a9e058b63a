"""Deliveries straight from the connection's reader, without aiormq's queue and tasks between.

aiormq passes each frame of a delivery to another task and starts one more for the delivery: half
of what it costs to receive one. Here the reader puts the frames together itself.

Invariant: a consumer gets the deliveries of its channel in the order of their frames. AMQP 0-9-1,
section 4.2.6, lets no other frame of a channel come between the method and the end of its body.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader

Receive = Callable[[DeliveredMessage], None]


class DirectDeliveries:
    """Puts the deliveries of one channel together; it serves all consumers of the channel."""

    def __init__(self, channel: AbstractChannel, receive: Receive) -> None:
        self._channel = channel
        self._receive = receive
        self._method: Basic.Deliver | None = None
        self._header: ContentHeader | None = None
        self._parts: list[bytes] = []
        self._missing = 0

    def collects(self, frame: FrameTypes) -> bool:
        """Whether the frame is part of a delivery; the last part lets it be received."""
        if isinstance(frame, Basic.Deliver):
            self._method, self._header, self._parts = frame, None, []
        elif self._method is None:
            return False
        elif isinstance(frame, ContentHeader):
            self._header, self._missing = frame, frame.body_size
        elif isinstance(frame, ContentBody) and self._header is not None:
            self._parts.append(frame.value)
            self._missing -= len(frame.value)
        else:
            return False
        if self._header is not None and self._missing <= 0:
            method, self._method = self._method, None
            body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._receive(DeliveredMessage(method, self._header, body, self._channel))
        return True


def receive_directly(channel: Any, receive: Receive) -> bool:
    """Have the channel's deliveries received until it closes; False on a foreign connection."""
    direct: dict[int, DirectDeliveries] | None = getattr(channel.connection, "direct", None)
    if direct is None:
        return False
    number = channel.number
    direct[number] = DirectDeliveries(channel, receive)
    channel.closing.add_done_callback(lambda _: direct.pop(number, None))
    return True

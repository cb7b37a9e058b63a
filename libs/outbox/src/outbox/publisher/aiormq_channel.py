"""The only module of the publisher that uses aiormq's internals: bytes out, answers in.

aiormq 7 keeps a future for each publish and walks all of them for each `multiple` ack. This class
replaces that on one channel, on which nothing else publishes. See decision 0401.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from aiormq.abc import AbstractChannel, ChannelFrame
from aiormq.exceptions import ChannelPreconditionFailed
from pamqp.commands import Basic

from outbox.rabbitmq.connection import is_blocked

# Without one of them the relay publishes by the public API: see decision 0401.
_NEEDED = ("_on_confirm_frame", "_on_return_frame", "_get_frame", "_read_content")


class UnexpectedInternals(RuntimeError):
    """aiormq's internals are not as this module knows them."""


class RawChannel:
    """A channel with confirms, used to write ready frames and to hear the answers."""

    def __init__(self, channel: AbstractChannel) -> None:
        """Raises `UnexpectedInternals`."""
        self._channel: Any = channel
        _examine(channel)
        self.number: int = channel.number
        self.frame_max: int = self._channel.connection.connection_tune.frame_max

    def listen(
        self,
        on_answer: Callable[[int, bool, bool], None],
        on_return: Callable[[bytes], None],
        on_close: Callable[[bool], None],
    ) -> None:
        """Call these with (tag, multiple, acked), with ids of returned messages, and at the end.

        `on_close` gets true if the broker closed the channel over a message published on it.
        """

        async def confirmed(frame: Basic.Ack | Basic.Nack) -> None:
            on_answer(frame.delivery_tag or 0, bool(frame.multiple), isinstance(frame, Basic.Ack))

        async def returned(frame: Basic.Return) -> None:
            header = await self._channel._get_frame()
            message = await self._channel._read_content(frame, header)
            on_return((message.header.properties.message_id or "").encode())

        def closed(closing: asyncio.Future[None]) -> None:
            problem = None if closing.cancelled() else closing.exception()
            on_close(isinstance(problem, ChannelPreconditionFailed))  # see decision 0403

        self._channel._on_confirm_frame = confirmed
        self._channel._on_return_frame = returned
        self._channel.closing.add_done_callback(closed)

    async def write(self, frames: bytes) -> None:
        """Hand bytes to the connection's writer, behind everything handed to it before."""
        if self._channel.is_closed:
            raise ConnectionError("the channel is closed")
        await self._channel.write_queue.put(ChannelFrame(payload=frames, should_close=False))

    async def is_blocked(self) -> bool:
        """Whether the broker has told this connection to wait."""
        return await is_blocked(self._channel)


def _examine(channel: Any) -> None:
    for name in _NEEDED:
        if not inspect.iscoroutinefunction(getattr(channel, name, None)):
            raise UnexpectedInternals(f"aiormq's channel has no coroutine {name}")
    if not isinstance(getattr(channel, "write_queue", None), asyncio.Queue):
        raise UnexpectedInternals("aiormq's channel has no write_queue")
    if getattr(channel, "delivery_tag", None) != 0:
        raise UnexpectedInternals("the channel has published already, or counts in another way")
    tune = getattr(channel.connection, "connection_tune", None)
    if not getattr(tune, "frame_max", 0):
        raise UnexpectedInternals("aiormq's connection does not tell its frame size")

"""Connections that no message can end, whatever a foreign publisher wrote into it (decision 0508).

AMQP 0-9-1 says that short strings are UTF-8 (section 4.2.5.3) and timestamps seconds (4.2.5.4), but
brokers pass on any bytes. aiormq takes a frame that it cannot decode for a broken connection: the
consumer would connect again, get the same message first, and so on for ever.

A message cannot end a connection by its size either: a body that is larger than an event may be is
not kept, however many of them a broker sends at once. `body_size` tells how large it was.

Invariant: only a delivery that pamqp refuses is read leniently, and its body is unchanged.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping
from typing import Any

import aio_pika
from aio_pika.abc import TimeoutType, UnderlayConnection
from aiormq.abc import AbstractConnection, DeliveredMessage
from aiormq.connection import Connection as Transport
from aiormq.connection import FrameReceiver
from aiormq.exceptions import (
    AMQPConnectionError,
    ConnectionClosed,
    ConnectionNotAllowed,
    InvalidFrameError,
)
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Connection as ConnectionFrames
from pamqp.frame import FrameTypes, unmarshal
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat
from yarl import URL

from outbox.event import MAX_PAYLOAD
from outbox.rabbitmq import delivery_frames
from outbox.rabbitmq.delivery_frames import HEAD
from outbox.rabbitmq.direct_deliveries import DirectDeliveries
from outbox.rabbitmq.lenient_frames import lenient

logger = logging.getLogger(__name__)

AT_ONCE = 131_072
"""Bytes of one read, at most."""
NOT_ALLOWED = 530
"""No such virtual host, or no right to it (AMQP 0-9-1 section 1.2)."""
PASSES = ") is reached"
"""A part of RabbitMQ's text when a limit of connections is reached, under the same code."""
_READER = "_Connection__reader"
"""The method with which aiormq reads the frames of an open connection."""

_SIZE = "body_size_on_the_wire"


class Connection(aio_pika.Connection):
    """aio-pika's connection with a lenient reader of frames."""

    async def connect(self, timeout: TimeoutType = None) -> None:  # noqa: ASYNC109 aio-pika's
        self.transport = await _Underlay.connect(
            self.url, self._on_connection_close, timeout=timeout, **self.kwargs
        )
        await self._on_connected()

    def __del__(self) -> None:
        """Do nothing: whoever opens a connection closes it.

        aio-pika closes it by a task. The garbage of a failed attempt may be collected where no
        loop runs, and such a task is never awaited.
        """


def body_size(delivery: DeliveredMessage) -> int:
    """The size of a body on the wire. Beyond `MAX_PAYLOAD` the body itself is empty here."""
    return getattr(delivery.header, _SIZE, len(delivery.body))


def connection_class() -> type[aio_pika.Connection]:
    """The lenient connection, or aio-pika's own if aiormq is not built as this module knows it."""
    if inspect.iscoroutinefunction(getattr(Transport, _READER, None)):
        return Connection
    logger.warning("aiormq has no %s: a message that it cannot decode will stop its queue", _READER)
    return aio_pika.Connection


class _Underlay(UnderlayConnection):
    @classmethod
    async def make_connection(
        cls,
        url: URL,
        timeout: TimeoutType = None,  # noqa: ASYNC109 aio-pika's
        **kwargs: Any,
    ) -> AbstractConnection:
        connection = _Transport(url, **kwargs)
        async with asyncio.timeout(timeout):
            await connection.connect()
        await connection.ready()
        return connection


class _Transport(Transport):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.direct: dict[int, DirectDeliveries] = {}
        """By number of channel."""

    @staticmethod
    async def _rpc(
        request: Frame,
        writer: asyncio.StreamWriter,
        frame_receiver: FrameReceiver,
        wait_response: bool = True,
    ) -> FrameTypes | None:
        receiver = _OpeningReceiver(frame_receiver.reader)
        return await Transport._rpc(request, writer, receiver, wait_response)

    async def _Connection__reader(self, frames: FrameReceiver) -> None:
        await getattr(super(), _READER)(OpenReceiver(frames.reader, self.direct))


class _Receiver(FrameReceiver):
    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._unwanted: dict[int, int] = {}
        """How many bytes of a body that is not kept are still to come, by channel."""

    async def get_frame(self) -> tuple[int, int, FrameTypes]:
        """The next frame; bodies that are too large are skipped."""
        while True:
            channel, frame = _decoded(data := await self._read())
            if self._wants(channel, frame):
                return len(data), channel, frame

    def _wants(self, channel: int, frame: FrameTypes) -> bool:
        """False for a part of a body that is too large."""
        if isinstance(frame, ContentHeader):
            self._unwanted.pop(channel, None)
            if frame.body_size > MAX_PAYLOAD:
                self._unwanted[channel] = frame.body_size
                setattr(frame, _SIZE, frame.body_size)
                frame.body_size = 0
        elif isinstance(frame, ContentBody) and channel in self._unwanted:
            self._unwanted[channel] -= len(frame.value)
            if self._unwanted[channel] <= 0:
                del self._unwanted[channel]
            return False
        return True

    async def _read(self) -> bytes:
        """One frame, as of AMQP 0-9-1 section 4.2.3, and nothing beyond it."""
        if self.reader.at_eof():
            raise StopAsyncIteration
        try:
            head = await self.reader.readexactly(HEAD)
            return head + await self.reader.readexactly(int.from_bytes(head[3:]) + 1)
        except (OSError, asyncio.IncompleteReadError) as problem:
            raise _lost(problem) from problem


class OpenReceiver(_Receiver):
    """Used while the connection is open: it reads many frames at once."""

    def __init__(
        self, reader: asyncio.StreamReader, direct: Mapping[int, DirectDeliveries]
    ) -> None:
        super().__init__(reader)
        self._direct = direct
        self._data, self._at = b"", 0
        self._is_alive = False
        """Whether frames have come that aiormq does not know of."""

    async def get_frame(self) -> tuple[int, int, FrameTypes]:
        """The next frame that is not part of a delivery for a consumer.

        Those count for aiormq as one heartbeat, so that it does not take the connection for dead.
        """
        while data := self._next() or await self._more():
            channel, frame = _decoded(data)
            direct = self._direct.get(channel)
            if not self._wants(channel, frame):
                continue
            if direct is None or not direct.collects(frame):
                return len(data), channel, frame
            self._is_alive = True
        self._is_alive = False
        return HEAD + 1, 0, Heartbeat()

    def _next(self) -> bytes:
        """The next frame, if all of it has been read."""
        start, have = self._at, len(self._data)
        body = start + HEAD
        if have > body:
            end = body + int.from_bytes(self._data[start + 3 : body]) + 1
            if end <= have:
                self._at = end
                return self._data[start:end]
        return b""

    async def _more(self) -> bytes:
        """The next frame, when it has come; nothing if aiormq has to hear of those before first."""
        while not (found := self._next()) and not self._is_alive:
            if self.reader.at_eof():
                raise StopAsyncIteration
            try:
                arrived = await self.reader.read(AT_ONCE)
            except OSError as problem:
                raise _lost(problem) from problem
            if not arrived:
                raise _lost(EOFError(f"{len(self._data) - self._at} bytes of a frame"))
            self._data, self._at = self._data[self._at :] + arrived, 0
        return found


def _lost(problem: Exception) -> AMQPConnectionError:
    return AMQPConnectionError(f"the broker's end was lost: {problem!r}")


def _decoded(data: bytes) -> tuple[int, FrameTypes]:
    """The channel, and the frame."""
    channel = int.from_bytes(data[1:3])
    if known := delivery_frames.read(data):
        return channel, known
    try:
        _, channel, frame = unmarshal(data)
    except Exception as problem:
        odd = lenient(data[0], data[HEAD:-1])
        if odd is None:
            raise InvalidFrameError(str(problem)) from problem
        return channel, odd
    return channel, frame


class _OpeningReceiver(_Receiver):
    """Used while the connection opens: aiormq loses the reason for which the broker closes."""

    async def get_frame(self) -> tuple[int, int, FrameTypes]:
        size, channel, frame = await super().get_frame()
        if isinstance(frame, ConnectionFrames.Close) and frame.reply_code == NOT_ALLOWED:
            said = frame.reply_text or ""
            kind = ConnectionClosed if PASSES in said else ConnectionNotAllowed
            raise kind(NOT_ALLOWED, said)
        return size, channel, frame

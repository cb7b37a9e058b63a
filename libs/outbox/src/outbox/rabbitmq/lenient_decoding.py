"""Connections that no message can end, whatever a foreign publisher wrote into it (decision 0508).

AMQP 0-9-1 says that short strings are UTF-8 (section 4.2.5.3) and timestamps seconds (4.2.5.4), but
brokers pass on any bytes. aiormq takes a frame that it cannot decode for a broken connection: the
consumer would connect again, get the same message first, and so on for ever.

A message cannot end a connection by its size either: a body that is larger than an event may be is
not kept, however many of them a broker sends at once. `body_size` tells how large it was.

Invariant: pamqp decodes everything that it can. Only a delivery that pamqp refuses is read here:
its texts have escapes for invalid bytes, an invalid time is None, and so is a header that makes no
sense. Its body is unchanged.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import struct
from collections.abc import Callable
from contextlib import suppress
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
from pamqp import constants, decode
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.commands import Connection as ConnectionFrames
from pamqp.frame import FrameTypes, unmarshal
from pamqp.header import ContentHeader
from yarl import URL

from outbox.event import MAX_PAYLOAD

logger = logging.getLogger(__name__)

HEAD = constants.FRAME_HEADER_SIZE
NOT_ALLOWED = 530
"""No such virtual host, or no right to it (AMQP 0-9-1 section 1.2)."""
PASSES = ") is reached"
"""A part of RabbitMQ's text when a limit of connections is reached, under the same code."""
_READER = "_Connection__reader"
"""The method with which aiormq reads the frames of an open connection."""

_SIZE = "body_size_on_the_wire"

Decoded = tuple[int, Any]
"""How many bytes a value has, and the value."""


class Connection(aio_pika.Connection):
    """aio-pika's connection with a lenient reader of frames."""

    async def connect(self, timeout: TimeoutType = None) -> None:  # noqa: ASYNC109 aio-pika's
        self.transport = await _Underlay.connect(
            self.url, self._on_connection_close, timeout=timeout, **self.kwargs
        )
        await self._on_connected()


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
        await getattr(super(), _READER)(_Receiver(frames.reader))


class _Receiver(FrameReceiver):
    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self._unwanted: dict[int, int] = {}
        """How many bytes of a body that is not kept are still to come, by channel."""

    async def get_frame(self) -> tuple[int, int, FrameTypes]:
        """The next frame; bodies that are too large are skipped."""
        while True:
            size, channel, frame = await self._next_frame()
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
                continue
            return size, channel, frame

    async def _next_frame(self) -> tuple[int, int, FrameTypes]:
        """As of AMQP 0-9-1 section 4.2.3."""
        if self.reader.at_eof():
            raise StopAsyncIteration
        try:
            head = await self.reader.readexactly(HEAD)
            data = head + await self.reader.readexactly(int.from_bytes(head[3:]) + 1)
        except (OSError, asyncio.IncompleteReadError) as problem:
            raise AMQPConnectionError(f"the broker's end was lost: {problem!r}") from problem
        try:
            return unmarshal(data)
        except Exception as problem:
            frame = _lenient(head[0], data[HEAD:-1])
            if frame is None:
                raise InvalidFrameError(str(problem)) from problem
            return len(data), int.from_bytes(head[1:3]), frame


class _OpeningReceiver(_Receiver):
    """Used while the connection opens: aiormq loses the reason for which the broker closes."""

    async def get_frame(self) -> tuple[int, int, FrameTypes]:
        size, channel, frame = await super().get_frame()
        if isinstance(frame, ConnectionFrames.Close) and frame.reply_code == NOT_ALLOWED:
            said = frame.reply_text or ""
            kind = ConnectionClosed if PASSES in said else ConnectionNotAllowed
            raise kind(NOT_ALLOWED, said)
        return size, channel, frame


def _lenient(kind: int, payload: bytes) -> FrameTypes | None:
    """A delivery's method or header, None for any other frame."""
    if kind == constants.FRAME_HEADER:
        return _header(payload)
    if kind == constants.FRAME_METHOD and int.from_bytes(payload[:4]) == Basic.Deliver.index:
        return _deliver(payload[4:])
    return None


def _deliver(data: bytes) -> Basic.Deliver:
    """AMQP 0-9-1 section 1.8.3.9."""
    delivery = Basic.Deliver()
    size, delivery.consumer_tag = _text(data)
    delivery.delivery_tag, again = struct.unpack_from(">QB", data, size)
    at = size + 9
    delivery.redelivered = bool(again & 1)
    size, delivery.exchange = _text(data[at:])
    _, delivery.routing_key = _text(data[at + size :])
    return delivery


def _header(data: bytes) -> ContentHeader:
    """AMQP 0-9-1 section 4.2.6.1."""
    header = ContentHeader()
    header.class_id, header.weight, header.body_size, flags = struct.unpack_from(">HHQH", data)
    data = data[14:]
    with suppress(Exception):
        for name in Basic.Properties.attributes():
            if flags & Basic.Properties.flags[name]:
                kind = Basic.Properties.amqp_type(name)
                size, value = (_LENIENT.get(kind) or decode.METHODS[kind])(data)
                setattr(header.properties, name, value)
                data = data[size:]
    return header


def _text(data: bytes) -> Decoded:
    end = data[0] + 1
    return end, data[1:end].decode("utf-8", "backslashreplace")


def _time(data: bytes) -> Decoded:
    with suppress(ValueError, OverflowError, OSError):
        return decode.timestamp(data)
    return 8, None


def _table(data: bytes) -> Decoded:
    """Every header keeps its name, so that a missing header differs from an unreadable one."""
    end = int.from_bytes(data[:4]) + 4
    found, at = {}, 4
    while at < end:
        size, name = _text(data[at:])
        at += size
        size, found[name] = _value(data[at:])
        at += size
    return end, found


def _value(data: bytes) -> Decoded:
    kind = data[:1]
    if kind == b"T":
        size, value = _time(data[1:])
        return size + 1, value
    try:
        return decode.embedded_value(data)
    except Exception:
        if kind not in (b"A", b"F"):
            raise
        return int.from_bytes(data[1:5]) + 5, None


_LENIENT: dict[str, Callable[[bytes], Decoded]] = {
    "shortstr": _text,
    "timestamp": _time,
    "table": _table,
}

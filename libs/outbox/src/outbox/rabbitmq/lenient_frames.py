"""Frames of a delivery that pamqp refuses, because somebody wrote odd bytes (decision 0508).

Invariant: texts have escapes for invalid bytes, an invalid time is None, and so is a header that
makes no sense.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from pamqp import constants, decode
from pamqp.commands import Basic
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader

Decoded = tuple[int, Any]
"""How many bytes a value has, and the value."""


def lenient(kind: int, payload: bytes) -> FrameTypes | None:
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

"""The three frames of a delivery, read at a fifth of the cost of pamqp's general reader.

Frames are AMQP 0-9-1 section 4.2.3, their fields 4.2.5 with RabbitMQ's types ("Errata", section 3).

Invariant: what is read here is what pamqp reads. A frame that is not exactly as expected is left to
pamqp, with all its errors: `read` returns None.
"""

from __future__ import annotations

from datetime import UTC, datetime
from struct import Struct
from typing import Any

from pamqp import constants, decode
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

Read = tuple[Any, int]
"""A value, and where the next one begins."""

HEAD = constants.FRAME_HEADER_SIZE
_DELIVER = Basic.Deliver.index.to_bytes(4)
_TAG, _CONTENT, _LONG = Struct(">qB"), Struct(">HHQH"), Struct(">I")
_LATEST = 0xFFFFFFFF
"""Seconds; a later time is in milliseconds, as pamqp takes it."""
_TEXT, _MORE_FLAGS = ord("S"), 1
_NUMBERS = {
    ord(kind): Struct(f">{code}")
    for kind, code in {"b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I", "l": "q"}.items()
}


def read(data: bytes) -> Basic.Deliver | ContentHeader | ContentBody | None:
    """The frame in these bytes if it is one of a delivery; None leaves it to pamqp."""
    if data[-1] != constants.FRAME_END:
        return None
    try:
        match data[0]:
            case constants.FRAME_BODY if len(data) > HEAD + 1:
                return ContentBody(data[HEAD:-1])
            case constants.FRAME_HEADER:
                return _header(data)
            case constants.FRAME_METHOD if data[HEAD : HEAD + 4] == _DELIVER:
                return _deliver(data)
    except Exception:
        return None  # pamqp says what is wrong
    return None


def _deliver(data: bytes) -> Basic.Deliver | None:
    """Section 1.8.3.9."""
    frame = Basic.Deliver.__new__(Basic.Deliver)
    frame.consumer_tag, at = _short(data, HEAD + 4)
    frame.delivery_tag, again = _TAG.unpack_from(data, at)
    frame.redelivered = bool(again & 1)
    frame.exchange, at = _short(data, at + _TAG.size)
    frame.routing_key, at = _short(data, at)
    return frame if at == len(data) - 1 else None


def _header(data: bytes) -> ContentHeader | None:
    """Section 4.2.6.1."""
    class_id, weight, body_size, flags = _CONTENT.unpack_from(data, HEAD)
    if flags & _MORE_FLAGS:
        return None
    properties, at = Basic.Properties.__new__(Basic.Properties), HEAD + _CONTENT.size
    for name, flag, value_of, otherwise in _PROPERTIES:
        value = otherwise
        if flags & flag:
            value, at = value_of(data, at)
        setattr(properties, name, value)
    header = ContentHeader(weight, body_size, properties)
    header.class_id = class_id
    return header if at == len(data) - 1 else None


def _short(data: bytes, at: int) -> Read:
    end = at + 1 + data[at]
    return data[at + 1 : end].decode(), end


def _octet(data: bytes, at: int) -> Read:
    return data[at], at + 1


def _time(data: bytes, at: int) -> Read:
    seconds: float = int.from_bytes(data[at : at + 8])
    return datetime.fromtimestamp(seconds / (1000 if seconds > _LATEST else 1), UTC), at + 8


def _table(data: bytes, at: int) -> Read:
    """Texts and numbers are read here, everything else by pamqp."""
    table: dict[str, Any] = {}
    at, end = at + 4, at + 4 + _LONG.unpack_from(data, at)[0]
    while at < end:
        named = at + 1 + data[at]
        name, at, kind = data[at + 1 : named].decode(), named, data[named]
        if kind == _TEXT:
            stop = at + 5 + _LONG.unpack_from(data, at + 1)[0]
            table[name] = data[at + 5 : stop].decode()
            at = stop
        elif number := _NUMBERS.get(kind):
            (table[name],) = number.unpack_from(data, at + 1)
            at += 1 + number.size
        else:
            used, table[name] = decode.embedded_value(data[at:-1])
            at += used
    if at != end:
        raise ValueError(data)
    return table, end


_READERS = {"shortstr": _short, "octet": _octet, "timestamp": _time, "table": _table}
_EMPTY = Basic.Properties()
_PROPERTIES = [
    (
        name,
        Basic.Properties.flags[name],
        _READERS[Basic.Properties.amqp_type(name)],
        getattr(_EMPTY, name),
    )
    for name in Basic.Properties.attributes()
]
"""In the order in which they follow each other."""

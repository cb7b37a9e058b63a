"""What makes an event deliverable, checked before PostgreSQL sees it (decision 1135).

Invariant: neither the outbox table nor AMQP refuses an event that passes here. An event that
PostgreSQL refuses would abort the caller's whole transaction.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from outbox.argument_checks import MAX_SHORT_STRING
from outbox.errors import EventTooLarge, InvalidEvent
from outbox.event import MAX_PAYLOAD

MAX_VERSION = 32_767
"""PostgreSQL's smallint."""

Parts = Mapping[str, Collection[str]]
"""Further first words of event types in the streams of an aggregate type."""


@dataclass(frozen=True, slots=True)
class Checked:
    """An event as it is stored."""

    type: str
    version: int
    aggregate_type: str
    aggregate_id: str
    payload: str


def check(event: object, parts: Parts) -> Checked:
    """Raises `InvalidEvent` for the first field that breaks a rule."""
    if isinstance(event, type):
        raise InvalidEvent("payload", f"is that of a class: give an instance of {event.__name__}")
    checked = Checked(
        short("type", _member(event, "type")),
        _version(_member(event, "version")),
        short("aggregate_type", _member(event, "aggregate_type")),
        short("aggregate_id", _id(_member(event, "aggregate_id"))),
        _body(_member(event, "payload")),
    )
    _belong_together(checked.type, checked.aggregate_type, parts)
    return checked


def short(field: str, value: object) -> str:
    """AMQP short strings hold 255 bytes (AMQP 0-9-1 section 4.2.5.3)."""
    if not isinstance(value, str):
        raise InvalidEvent(field, f"has to be text, not {type(value).__name__}")
    if not value or "\0" in value:
        raise InvalidEvent(field, "has to be text without NUL, not empty")
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        raise InvalidEvent(field, "is not text that can be encoded in UTF-8") from None
    if len(encoded) > MAX_SHORT_STRING:
        raise InvalidEvent(field, f"is longer than {MAX_SHORT_STRING} bytes")
    # The driver would store the name of a StrEnum's member, not its value.
    return value if type(value) is str else str.__str__(value)


def _member(event: object, name: str) -> Any:
    try:
        return getattr(event, name)
    except AttributeError as problem:
        raise InvalidEvent(name, f"is missing: {type(event).__name__} is no event") from problem


def _id(value: object) -> object:
    if isinstance(value, UUID) or (isinstance(value, int) and not isinstance(value, bool)):
        return str(value)
    return value


def _version(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_VERSION:
        raise InvalidEvent("version", f"has to be an int from 1 to {MAX_VERSION}, not {value!r}")
    return int(value)


def _belong_together(type_: str, aggregate_type: str, parts: Parts) -> None:
    """Queues are bound by first words, so a type with a foreign first word is a mistake (1136)."""
    for word in (aggregate_type, *parts.get(aggregate_type, ())):
        if type_ == word or type_.startswith(f"{word}."):  # see decision 1136
            return
    raise InvalidEvent(
        "type",
        f"{type_!r} does not begin with its aggregate type {aggregate_type!r}; where that is meant,"
        f" Outbox(…, parts={{{aggregate_type!r}: [{type_.partition('.')[0]!r}]}}) says so",
    )


def _body(payload: Any) -> str:
    if not callable(payload):
        raise InvalidEvent("payload", "has to be a method that returns bytes")
    body = payload()
    if not isinstance(body, bytes):
        raise InvalidEvent("payload", f"has to return bytes, not {type(body).__name__}")
    return checked_body(body)


def checked_body(body: bytes) -> str:
    """The text of a body. Raises `InvalidEvent` unless it is JSON in UTF-8 and not too large."""
    if len(body) > MAX_PAYLOAD:
        raise EventTooLarge(len(body), MAX_PAYLOAD)
    try:
        text = body.decode()
    except UnicodeDecodeError as problem:
        raise InvalidEvent("payload", "is not UTF-8") from problem
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError) as problem:
        raise InvalidEvent("payload", f"is not JSON: {problem}") from None
    return text


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number (RFC 8259 section 6)")


# Integers are read as floats, because Python refuses integers of more than 4,300 digits.
_DECODER = json.JSONDecoder(parse_int=float, parse_constant=_no_constant)

"""An event as an AMQP message and back: CloudEvents 1.0, AMQP binding, binary mode."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import MAXYEAR, MINYEAR, UTC, datetime
from typing import Any
from uuid import UUID

from aio_pika import DeliveryMode, Message
from aiormq.abc import DeliveredMessage

from outbox.errors import UnreadableMessage
from outbox.event import MAX_SEQUENCE, Envelope, Stream

SPEC_VERSION = "1.0"
CONTENT_TYPE = "application/json"
# The inbox can store these: smallint, and texts that fit into the index of its key.
MAX_VERSION = 2**15 - 1
MAX_BYTES = 255
UNKNOWN_TIME = datetime.fromtimestamp(0, UTC)


def to_message(envelope: Envelope, *, user: str | None = None) -> Message:
    """The AMQP message of an event; its routing key is the event's type.

    `user` has to be the user of the connection (RabbitMQ, "Validated User-ID").
    """
    return Message(
        body=envelope.payload,
        message_id=str(envelope.id),
        type=envelope.type,
        content_type=CONTENT_TYPE,
        app_id=envelope.stream.source,
        timestamp=envelope.time,
        delivery_mode=DeliveryMode.PERSISTENT,
        correlation_id=envelope.correlation_id,
        user_id=user,
        headers=_headers(envelope),
    )


def _headers(envelope: Envelope) -> dict[str, Any]:
    headers: dict[str, Any] = {
        "cloudEvents:specversion": SPEC_VERSION,
        "cloudEvents:id": str(envelope.id),
        "cloudEvents:source": envelope.stream.source,
        "cloudEvents:type": envelope.type,
        "cloudEvents:time": envelope.time.isoformat(),
        "cloudEvents:subject": envelope.stream.aggregate_id,
        "aggregate_type": envelope.stream.aggregate_type,
        "sequence": envelope.sequence,
        "version": envelope.version,
    }
    if envelope.causation_id:
        headers["causation_id"] = envelope.causation_id
    if envelope.traceparent:
        headers["traceparent"] = envelope.traceparent
    return headers


def from_delivery(delivery: DeliveredMessage) -> Envelope:
    """The event of a delivery. Raises `UnreadableMessage` if it lacks a stream or a sequence."""
    properties = delivery.header.properties
    headers = properties.headers or {}
    return Envelope(
        id=_event_id(headers, properties.message_id),
        stream=Stream(
            _text(headers, "cloudEvents:source"),
            _text(headers, "aggregate_type"),
            _text(headers, "cloudEvents:subject"),
        ),
        sequence=_positive(headers, "sequence"),
        type=_text(headers, "cloudEvents:type"),
        version=_positive(headers, "version", default=1, limit=MAX_VERSION),
        time=event_time(headers),
        payload=bytes(delivery.body),
        correlation_id=short_text(properties.correlation_id) or _text(headers, "cloudEvents:id"),
        causation_id=_optional(headers, "causation_id"),
        traceparent=_optional(headers, "traceparent"),
        received=time.monotonic(),
    )


def _event_id(headers: Mapping[str, Any], message_id: str | None) -> UUID:
    try:
        return UUID(headers.get("cloudEvents:id") or message_id)
    except (ValueError, TypeError, AttributeError):
        raise UnreadableMessage("cloudEvents:id") from None


def _text(headers: Mapping[str, Any], name: str) -> str:
    value = short_text(headers.get(name))
    if value:
        return value
    raise UnreadableMessage(name)


def _optional(headers: Mapping[str, Any], name: str) -> str | None:
    return short_text(headers.get(name))


def short_text(value: object) -> str | None:
    """The value, if it is text that can be stored and sent on; else None."""
    if not isinstance(value, str) or "\0" in value:
        return None
    size = len(value) if value.isascii() else len(value.encode())
    return value if size <= MAX_BYTES else None


def _positive(
    headers: Mapping[str, Any], name: str, *, default: int | None = None, limit: int = MAX_SEQUENCE
) -> int:
    value = headers.get(name, default)
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= limit:
        return value
    raise UnreadableMessage(name)


def event_time(headers: Mapping[str, Any]) -> datetime:
    """The event's time. A missing or malformed time is the epoch, which means "unknown"."""
    try:
        return within_calendar(datetime.fromisoformat(headers["cloudEvents:time"]))
    except (KeyError, TypeError, ValueError):
        return UNKNOWN_TIME


def within_calendar(time: datetime) -> datetime:
    """The time; unknown at the ends of the calendar, where another time zone would overflow."""
    if not MINYEAR < time.year < MAXYEAR:
        return UNKNOWN_TIME
    return time if time.tzinfo else time.replace(tzinfo=UTC)

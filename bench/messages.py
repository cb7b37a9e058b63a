"""The message of an event as SPEC.md, "Events", lays it down; for all that is not the relay.

So the ceiling, the textbook relay and the filled queue move the same bytes as the relay does;
`differences` proves it on a message that the relay has sent.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractMessage

from bench.environment import SOURCE
from bench.events import AGGREGATE_TYPE, TYPE

EVENT_ID = "00000000-0000-7000-8000-{:012d}"


def properties(event_id: str, aggregate_id: str, sequence: int, time: datetime) -> dict[str, Any]:
    """Keyword arguments for a message, but for its body."""
    return {
        "message_id": event_id,
        "type": TYPE,
        "content_type": "application/json",
        "app_id": SOURCE,
        "timestamp": time,
        "delivery_mode": DeliveryMode.PERSISTENT,
        "correlation_id": event_id,
        "headers": {
            "cloudEvents:specversion": "1.0",
            "cloudEvents:id": event_id,
            "cloudEvents:source": SOURCE,
            "cloudEvents:type": TYPE,
            "cloudEvents:time": time.astimezone(UTC).isoformat(),
            "cloudEvents:subject": aggregate_id,
            "aggregate_type": AGGREGATE_TYPE,
            "sequence": sequence,
            "version": 1,
        },
    }


def as_message(
    event_id: UUID, aggregate_id: str, sequence: int, time: datetime, body: bytes
) -> Message:
    return Message(body, **properties(str(event_id), aggregate_id, sequence, time))


def differences(sent: AbstractMessage) -> list[str]:
    """Where a message that the relay has sent is made otherwise than those made here."""
    ours = properties("", "", 1, datetime.now(UTC))
    found = [name for name in ours if getattr(sent, name) is None]
    if set(sent.headers) != set(ours["headers"]):
        found.append(f"headers {sorted(set(sent.headers) ^ set(ours['headers']))}")
    return found

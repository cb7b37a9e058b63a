"""Messages of producers that number nothing: deduplicated by message id, for a while.

Each such message is a stream of its own with one event in it, so that all the inbox can do is
done for it too: once in effect, parked, retried, counted, redriven. What has no order cannot be
put into one. The ids are forgotten after the retention, or the inbox would grow for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid5

import psycopg
from aiormq.abc import DeliveredMessage

from outbox.errors import UnreadableMessage
from outbox.event import Envelope, Stream
from outbox.rabbitmq.cloudevents import event_time, short_text, within_calendar

log = logging.getLogger(__name__)

Connection = psycopg.AsyncConnection[Any]

MESSAGE = "message id"
"""The aggregate type of such streams; no event class can have it, for want of the space."""
FORGET_AT_ONCE = 1_000
_NAMESPACE = UUID("8f0e1a52-6b6d-4f51-9d0e-2f5f3c0f7c55")

_REMEMBER = """
INSERT INTO inbox_messages (consumer, source, message_id)
SELECT %s, * FROM unnest(%s::text[], %s::text[]) ON CONFLICT DO NOTHING
"""

# A message that is still parked is remembered until it has been dealt with.
_FORGET = """
WITH old AS (
  SELECT m.consumer, m.source, m.message_id FROM inbox_messages m
   WHERE m.consumer = %(consumer)s
     AND m.taken_at < clock_timestamp() - make_interval(secs => %(seconds)s)
     AND NOT EXISTS (SELECT FROM inbox_parked p
                      WHERE (p.consumer, p.source, p.aggregate_type, p.aggregate_id)
                          = (m.consumer, m.source, %(type)s, m.message_id))
   ORDER BY m.taken_at LIMIT %(limit)s
), places AS (
  DELETE FROM inbox i USING old o
   WHERE (i.consumer, i.source, i.aggregate_type, i.aggregate_id)
       = (o.consumer, o.source, %(type)s, o.message_id)
)
DELETE FROM inbox_messages m USING old o
 WHERE (m.consumer, m.source, m.message_id) = (o.consumer, o.source, o.message_id)
RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class UnsequencedMessages:
    """That a consumer takes messages without a sequence too, and from whom they are.

    `source` names those that have no `app_id`. An id that comes again within `retention` is a
    duplicate; later it would take effect again.
    """

    source: str = "foreign"
    retention: timedelta = timedelta(days=7)


def from_unsequenced(delivery: DeliveredMessage, terms: UnsequencedMessages) -> Envelope:
    """The event of a message without a sequence. Raises `UnreadableMessage` without an id."""
    properties = delivery.header.properties
    headers = properties.headers or {}
    if "sequence" in headers:
        raise UnreadableMessage("place in a stream, though it has a sequence")
    message_id = short_text(properties.message_id) or short_text(headers.get("cloudEvents:id"))
    kind = short_text(properties.message_type) or short_text(delivery.routing_key)
    if not message_id or not kind:
        raise UnreadableMessage("message id" if not message_id else "type")
    source = short_text(properties.app_id) or terms.source
    return Envelope(
        id=uuid5(_NAMESPACE, f"{source}/{message_id}"),
        stream=Stream(source, MESSAGE, message_id),
        sequence=1,
        type=kind,
        version=1,
        time=within_calendar(properties.timestamp or event_time(headers)),
        payload=bytes(delivery.body),
        correlation_id=short_text(properties.correlation_id) or message_id,
        traceparent=short_text(headers.get("traceparent")),
    )


def is_unsequenced(stream: Stream) -> bool:
    """Whether a stream is a single message of a producer that numbers nothing."""
    return stream.aggregate_type == MESSAGE


async def remember(connection: Connection, consumer: str, streams: Sequence[Stream]) -> None:
    """Note when these messages took effect."""
    sources = [stream.source for stream in streams]
    ids = [stream.aggregate_id for stream in streams]
    await connection.execute(_REMEMBER, [consumer, sources, ids])


async def forget_old(
    connection: Connection, consumer: str, retention: timedelta, *, limit: int = FORGET_AT_ONCE
) -> int:
    """Forget message ids past their retention; returns how many."""
    parameters = {
        "consumer": consumer,
        "seconds": retention.total_seconds(),
        "type": MESSAGE,
        "limit": limit,
    }
    cursor = await connection.execute(_FORGET, parameters)
    return len(await cursor.fetchall())

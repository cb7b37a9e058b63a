"""Messages of producers that number nothing: deduplicated by message id, for a while.

Each such message is a stream of its own with one event in it; see decision 0506. So the inbox does
for it all that it does for others: it takes effect once, and is parked, retried, counted and
redriven. It has no order. The ids are forgotten after the retention, or the inbox would grow for
ever.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid5

from aiormq.abc import DeliveredMessage

from outbox.errors import UnreadableMessage
from outbox.event import Envelope, Stream
from outbox.inbox.position import Connection
from outbox.log.deferred import Statement
from outbox.postgres.array_literals import text_array
from outbox.rabbitmq.cloudevents import event_time, short_text, within_calendar

MESSAGE = "message id"
"""The aggregate type of such streams. It has a space, which no event class may have."""
FORGET_AT_ONCE = 1_000
_NAMESPACE = UUID("8f0e1a52-6b6d-4f51-9d0e-2f5f3c0f7c55")

_REMEMBER = """
INSERT INTO inbox_messages (consumer, source, message_id)
SELECT %(consumer)s, * FROM unnest(%(sources)s::text[], %(ids)s::text[]) ON CONFLICT DO NOTHING
"""

# A message that is still parked is remembered until it has been dealt with. The index serves
# `statement_timestamp()`, which is constant: with `clock_timestamp()` every message would be read.
_FORGET = """
WITH old AS (
  SELECT m.consumer, m.source, m.message_id FROM inbox_messages m
   WHERE m.consumer = %(consumer)s
     AND m.taken_at < statement_timestamp() - make_interval(secs => %(seconds)s)
     AND (SELECT i.parked FROM inbox i
           WHERE (i.consumer, i.source, i.aggregate_type, i.aggregate_id)
               = (m.consumer, m.source, %(type)s, m.message_id) AND i.parked > 0) IS NULL
   ORDER BY m.taken_at LIMIT %(limit)s
), positions AS (
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
    """How a consumer handles messages without a sequence.

    `source` is the source of those that have no `app_id`. An id that comes again within
    `retention` is a duplicate; later it would take effect again.
    """

    source: str = "unsequenced"
    retention: timedelta = timedelta(days=7)


def from_unsequenced(delivery: DeliveredMessage, terms: UnsequencedMessages) -> Envelope:
    """The event of a message without a sequence. Raises `UnreadableMessage` without an id."""
    properties = delivery.header.properties
    headers = properties.headers or {}
    if "sequence" in headers:
        raise UnreadableMessage("stream, though it has a sequence")
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
        received=time.monotonic(),
    )


def is_unsequenced(stream: Stream) -> bool:
    """Whether a stream is a single message of a producer that numbers nothing."""
    return stream.aggregate_type == MESSAGE


def remembering(consumer: str, streams: Sequence[Stream]) -> Statement:
    """The statement that notes when these messages took effect."""
    sources = text_array(stream.source for stream in streams)
    ids = text_array(stream.aggregate_id for stream in streams)
    return _REMEMBER, {"consumer": consumer, "sources": sources, "ids": ids}


@dataclass(frozen=True, slots=True)
class MessageIds:
    """The ids of the unsequenced messages that one consumer has handled."""

    connection: Connection
    consumer: str

    async def forget_old(self, retention: timedelta, *, limit: int = FORGET_AT_ONCE) -> int:
        """Forget message ids past their retention, with their inbox rows; returns how many."""
        parameters = {
            "consumer": self.consumer,
            "seconds": retention.total_seconds(),
            "type": MESSAGE,
            "limit": limit,
        }
        return (await self.connection.execute(_FORGET, parameters)).rowcount

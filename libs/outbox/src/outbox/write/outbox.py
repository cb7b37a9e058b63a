"""Adding events in the caller's own transaction.

The stream's counter row is locked before an id of the log is drawn, and stays locked until
commit: within an aggregate the order of ids, of sequences and of commits is one and the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, MetaData, TextClause, text
from sqlalchemy.orm import Session
from uuid_utils.compat import uuid7

from outbox.buckets import bucket_of
from outbox.envelope import Envelope, Event
from outbox.errors import EventTooLarge, InvalidEvent
from outbox.tables import declare_outbox

MAX_PAYLOAD = 1024 * 1024
MAX_SHORT_STRING = 255

_ADD = text("""
WITH given AS (
  SELECT * FROM unnest(
    CAST(:event_id AS uuid[]), CAST(:bucket AS smallint[]), CAST(:aggregate_type AS text[]),
    CAST(:aggregate_id AS text[]), CAST(:type AS text[]), CAST(:version AS smallint[]),
    CAST(:payload AS text[]), CAST(:correlation_id AS text[])
  ) WITH ORDINALITY AS g(event_id, bucket, aggregate_type, aggregate_id, type, version,
                         payload, correlation_id, position)
), stream AS (
  INSERT INTO outbox_streams AS s (source, aggregate_type, aggregate_id, last)
  SELECT :source, aggregate_type, aggregate_id, count(*) FROM given
   GROUP BY aggregate_type, aggregate_id ORDER BY aggregate_type, aggregate_id
  ON CONFLICT (source, aggregate_type, aggregate_id) DO UPDATE SET last = s.last + excluded.last
  RETURNING aggregate_type, aggregate_id, last
)
INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence, type,
                    version, payload, correlation_id, causation_id, traceparent)
SELECT event_id, bucket, :source, aggregate_type, aggregate_id,
       last - count(*) OVER (PARTITION BY aggregate_type, aggregate_id)
            + row_number() OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY position),
       type, version, payload::json, correlation_id, :causation_id, :traceparent
  FROM given JOIN stream USING (aggregate_type, aggregate_id)
 ORDER BY position
""")

_SCHEDULE = text("""
INSERT INTO outbox_scheduled (source, key, due_at, event_id, bucket, aggregate_type, aggregate_id,
                              type, version, payload, correlation_id, causation_id, traceparent)
VALUES (:source, :key, :due_at, :event_id, :bucket, :aggregate_type, :aggregate_id,
        :type, :version, CAST(:payload AS json), :correlation_id, :causation_id, :traceparent)
ON CONFLICT (source, key) DO UPDATE
   SET due_at = excluded.due_at, event_id = excluded.event_id, bucket = excluded.bucket,
       aggregate_type = excluded.aggregate_type, aggregate_id = excluded.aggregate_id,
       type = excluded.type, version = excluded.version, payload = excluded.payload,
       correlation_id = excluded.correlation_id, causation_id = excluded.causation_id,
       traceparent = excluded.traceparent
""")

_UNSCHEDULE = text("""
DELETE FROM outbox_scheduled WHERE source = :source AND key = :key RETURNING key
""")


class Executes(Protocol):
    """An `AsyncConnection` or an `AsyncSession`."""

    async def execute(self, statement: TextClause, parameters: dict[str, Any], /) -> Any: ...


class Outbox:
    """The log of one source. Declares its tables on the application's MetaData."""

    def __init__(self, source: str, metadata: MetaData | None = None) -> None:
        self.source = _short("source", source)
        if metadata is not None:
            declare_outbox(metadata)

    async def add(
        self,
        connection: Executes,
        *events: Event,
        cause: Envelope | None = None,
        traceparent: str | None = None,
    ) -> list[UUID]:
        """Add events to the log, in order; they leave when the transaction commits.

        Returns the new events' ids. `cause` is the event being handled, if there is one: its
        correlation goes on. Raises `InvalidEvent` for what could never be delivered.
        """
        ids = [uuid7() for _ in events]
        if events:
            parameters = self._parameters(ids, events, cause, traceparent)
            await connection.execute(_ADD, parameters)
        return ids

    def add_sync(
        self,
        connection: Connection | Session,
        *events: Event,
        cause: Envelope | None = None,
        traceparent: str | None = None,
    ) -> list[UUID]:
        """The same for a synchronous connection or session."""
        ids = [uuid7() for _ in events]
        if events:
            connection.execute(_ADD, self._parameters(ids, events, cause, traceparent))
        return ids

    async def schedule(
        self,
        connection: Executes,
        event: Event,
        *,
        key: str,
        at: datetime,
        cause: Envelope | None = None,
        traceparent: str | None = None,
    ) -> UUID:
        """Add an event to the log when its time comes. The same key again replaces it.

        Its place in its stream is drawn at that time, not now.
        """
        id_ = uuid7()
        columns = self._parameters([id_], [event], cause, traceparent)
        row = {
            name: value[0] if isinstance(value, list) else value for name, value in columns.items()
        }
        await connection.execute(_SCHEDULE, {**row, "key": _short("key", key), "due_at": at})
        return id_

    async def unschedule(self, connection: Executes, key: str) -> bool:
        """Cancel a scheduled event; false if there is none, or it has been sent on its way.

        Call it before adding events of the same aggregate: who moves due events locks first the
        scheduled row, then the stream.
        """
        deleted = await connection.execute(_UNSCHEDULE, {"source": self.source, "key": key})
        return deleted.first() is not None

    def _parameters(
        self,
        ids: Sequence[UUID],
        events: Sequence[Event],
        cause: Envelope | None,
        traceparent: str | None,
    ) -> dict[str, Any]:
        return {
            "source": self.source,
            "event_id": ids,
            "bucket": [bucket_of(event.aggregate_type, event.aggregate_id) for event in events],
            "aggregate_type": [_short("aggregate_type", event.aggregate_type) for event in events],
            "aggregate_id": [_short("aggregate_id", event.aggregate_id) for event in events],
            "type": [_routable(event) for event in events],
            "version": [event.version for event in events],
            "payload": [_body(event) for event in events],
            "correlation_id": [cause.correlation_id if cause else str(id_) for id_ in ids],
            "causation_id": str(cause.id) if cause else None,
            "traceparent": traceparent or (cause.traceparent if cause else None),
        }


def _short(field: str, value: str) -> str:
    """AMQP short strings hold 255 bytes (AMQP 0-9-1 section 4.2.5.3)."""
    if not value or "\0" in value:
        raise InvalidEvent(field, "must be text without NUL, not empty")
    if len(value.encode("utf-8", "surrogatepass")) > MAX_SHORT_STRING:
        raise InvalidEvent(field, f"is longer than {MAX_SHORT_STRING} bytes")
    return value


def _routable(event: Event) -> str:
    return _short("type", event.type)


def _body(event: Event) -> str:
    body = event.payload()
    if len(body) > MAX_PAYLOAD:
        raise EventTooLarge(len(body), MAX_PAYLOAD)
    try:
        return body.decode()
    except UnicodeDecodeError as problem:
        raise InvalidEvent("payload", "is not UTF-8") from problem

"""What a journey asks of the inbox: when events were applied, and what became of the others.

The row of an event that was never parked is found by the time: it was applied soon after it was
published. A search beyond that is bounded.

One file, because these statements together say what one consumer did with one event.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg.types.multirange import Multirange

from outbox.event import Stream
from outbox.inbox.edits import EDITED
from outbox.inbox.parked_events import NEXT_ATTEMPT
from outbox.inbox.position import CONSUMER_NAMES

SOON = 60
"""Seconds after its publication within which an event is expected to take effect."""
LATE = 300_000
"""At most so many transactions are searched for an event that took effect later."""
PARKED_SEARCHED = 100_000
"""At most so many parked events are searched for an id."""
OF_LAST_HOUR = 500_000
"""At most so many transactions are compared for the slowest."""

_TIMES = """
consumer, began_at - make_interval(secs => waited[array_position(event_ids, {id})]) AS received_at,
began_at, applied_at, NULL::timestamptz AS parked_at, NULL::timestamptz[] AS failed_at,
NULL::text[] AS failed_with, NULL::text AS last_error
"""

PARKED_BEFORE = """
SELECT event_ids[1] AS event_id, consumer, parked_at AS received_at, began_at, applied_at,
       parked_at, failed_at, failed_with, last_error
  FROM inbox_applied WHERE parked_at IS NOT NULL AND event_ids && %(ids)s::uuid[]
"""
"""The times of those of these events that were parked."""

SOON_AFTER = f"""
SELECT w.event_id, a.*
  FROM unnest(%(ids)s::uuid[], %(since)s::timestamptz[], %(until)s::timestamptz[])
         AS w(event_id, since, until)
 CROSS JOIN LATERAL (
   SELECT {_TIMES.format(id="w.event_id")} FROM inbox_applied
    WHERE applied_at >= w.since AND applied_at < w.until + make_interval(secs => {SOON})
      AND parked_at IS NULL AND event_ids @> ARRAY[w.event_id]
 ) AS a
"""  # noqa: S608
"""The times of events that took effect soon after a time of their own."""

KEPT_SINCE = "SELECT min(applied_at) AS since FROM inbox_applied"
"""Since when times are kept."""

LATER = f"""
SELECT w.event_id, {_TIMES.format(id="w.event_id")}
  FROM (SELECT * FROM inbox_applied WHERE applied_at >= %(since)s
         ORDER BY applied_at LIMIT {LATE}) AS a
  JOIN unnest(%(ids)s::uuid[]) AS w(event_id) ON event_ids @> ARRAY[w.event_id]
 WHERE parked_at IS NULL AND event_ids && %(ids)s::uuid[]
"""  # noqa: S608
"""The times of events that took effect at any time since, in a bounded search."""

SLOWEST = f"""
SELECT event_ids[1] AS event_id, consumer, oldest_at AS created_at, applied_at,
       extract(epoch FROM applied_at - oldest_at)::float8 AS seconds
  FROM (SELECT event_ids[1:1] AS event_ids, consumer, oldest_at, applied_at FROM inbox_applied
         WHERE applied_at > statement_timestamp() - make_interval(secs => %(seconds)s)
         ORDER BY applied_at DESC LIMIT {OF_LAST_HOUR}) AS recent
 WHERE oldest_at IS NOT NULL
 ORDER BY applied_at - oldest_at DESC LIMIT %(limit)s
"""  # noqa: S608
"""The oldest event of each transaction, those that took the longest first."""

# Some transactions of each slice of the time, so that one burst does not speak for the hour.
SAMPLE = """
SELECT a.*
  FROM generate_series(0, %(slices)s - 1) AS s(slice)
 CROSS JOIN LATERAL (
   SELECT event_ids[1] AS event_id, consumer, oldest_at AS created_at,
          coalesce(parked_at, began_at - make_interval(secs => waited[1])) AS received_at, began_at,
          applied_at, parked_at IS NOT NULL AS was_parked
     FROM inbox_applied
    WHERE applied_at >= statement_timestamp()
                        - make_interval(secs => %(seconds)s * (s.slice + 1) / %(slices)s)
      AND applied_at < statement_timestamp()
                       - make_interval(secs => %(seconds)s * s.slice / %(slices)s)
      AND consumer = ANY(%(consumers)s::text[]) AND oldest_at IS NOT NULL
    ORDER BY applied_at LIMIT %(each)s
 ) AS a
"""
"""The oldest events of some transactions of the last so many seconds."""

# Consumers that have received any event of the source and aggregate type: each is a step in the
# index of the primary key. With EXISTS a plan could read the whole table instead.
WHO_RECEIVES = f"""
SELECT name AS consumer, s.source, s.aggregate_type, s.aggregate_id,
       coalesce(i.last_sequence, 0) AS last_sequence, i.last_event_id,
       coalesce(i.blocked, false) AS blocked
  FROM ({CONSUMER_NAMES}) AS names
 CROSS JOIN unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[])
              AS s(source, aggregate_type, aggregate_id)
 CROSS JOIN LATERAL (SELECT FROM inbox k WHERE k.consumer = name AND k.source = s.source
                        AND k.aggregate_type = s.aggregate_type LIMIT 1) AS known
  LEFT JOIN inbox i ON (i.consumer, i.source, i.aggregate_type, i.aggregate_id)
                     = (name, s.source, s.aggregate_type, s.aggregate_id)
 ORDER BY name
"""  # noqa: S608
"""How far each consumer has come in some streams; 0 where it has received nothing yet."""

_KEYS = """
unnest(%(consumers)s::text[], %(sources)s::text[], %(types)s::text[], %(ids)s::text[])
  AS s(consumer, source, aggregate_type, aggregate_id)
"""
PARKED = f"""
SELECT p.event_id, p.consumer, p.source, p.aggregate_type, p.aggregate_id, p.sequence, p.reason,
       p.parked_at, {NEXT_ATTEMPT} AS next_attempt_at, p.failed_at, p.failed_with, p.last_error
  FROM {_KEYS}
 CROSS JOIN LATERAL (
   SELECT * FROM inbox_parked i
    WHERE (i.consumer, i.source, i.aggregate_type, i.aggregate_id)
        = (s.consumer, s.source, s.aggregate_type, s.aggregate_id)
    ORDER BY i.sequence LIMIT %(limit)s
 ) AS p
"""  # noqa: S608
"""What is parked of some streams at some consumers."""

PARKED_STREAM = f"""
SELECT aggregate_id FROM (SELECT aggregate_id, event_id FROM inbox_parked LIMIT {PARKED_SEARCHED}) p
 WHERE event_id = ANY(%(ids)s::uuid[]) LIMIT 1
"""  # noqa: S608
"""The aggregate of an event that waits here, whoever has written it. A bounded search."""

GIVEN_UP = """
SELECT consumer, source, aggregate_type, aggregate_id, first_sequence, last_sequence, reason, note,
       discarded_at, parked_at, failed_at, failed_with, last_error
  FROM inbox_discarded WHERE aggregate_id = ANY(%(ids)s::text[])
 ORDER BY id LIMIT %(limit)s
"""
"""What was discarded or skipped of some aggregates."""

MISSING = f"""
SELECT consumer, source, aggregate_type, aggregate_id, missing, unrecoverable, noticed_at, asks,
       asked_at
  FROM {_KEYS} JOIN inbox_missing USING (consumer, source, aggregate_type, aggregate_id)
"""  # noqa: S608
"""What is known of some streams at some consumers, and has not arrived."""


@dataclass(frozen=True, slots=True)
class AppliedEvent:
    """When one consumer received and applied an event; what failed before, if it was parked."""

    event_id: UUID
    consumer: str
    received_at: datetime | None
    began_at: datetime
    applied_at: datetime
    parked_at: datetime | None
    failed_at: list[datetime] | None
    failed_with: list[str] | None
    last_error: str | None


@dataclass(frozen=True, slots=True)
class SampledEvent:
    """The oldest event of one transaction."""

    event_id: UUID
    consumer: str
    created_at: datetime
    received_at: datetime | None
    began_at: datetime
    applied_at: datetime
    was_parked: bool


@dataclass(frozen=True, slots=True)
class SlowEvent:
    """The oldest event of a transaction, and how long it took from its commit to its effect."""

    event_id: UUID
    consumer: str
    created_at: datetime
    applied_at: datetime
    seconds: float


@dataclass(frozen=True, slots=True)
class StreamProgress:
    """How far a consumer has come in a stream."""

    consumer: str
    source: str
    aggregate_type: str
    aggregate_id: str
    last_sequence: int
    last_event_id: UUID | None
    blocked: bool

    @property
    def stream(self) -> Stream:
        return Stream(self.source, self.aggregate_type, self.aggregate_id)


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """A parked event, without its body."""

    event_id: UUID
    consumer: str
    source: str
    aggregate_type: str
    aggregate_id: str
    sequence: int
    reason: str
    parked_at: datetime
    next_attempt_at: datetime | None
    failed_at: list[datetime]
    failed_with: list[str]
    last_error: str | None


@dataclass(frozen=True, slots=True)
class GivenUp:
    """A discarded event, or a skipped range of a stream."""

    consumer: str
    source: str
    aggregate_type: str
    aggregate_id: str
    first_sequence: int
    last_sequence: int
    reason: str
    note: str
    discarded_at: datetime
    parked_at: datetime | None
    failed_at: list[datetime]
    failed_with: list[str]
    last_error: str | None

    @property
    def is_edit(self) -> bool:
        """Whether only the event's first body was given up."""
        return self.reason == EDITED

    def covers(self, stream: Stream, sequence: int) -> bool:
        """Whether it was this event."""
        mine = Stream(self.source, self.aggregate_type, self.aggregate_id)
        return mine == stream and self.first_sequence <= sequence <= self.last_sequence


@dataclass(frozen=True, slots=True)
class MissingSequences:
    """What a consumer misses of a stream."""

    consumer: str
    source: str
    aggregate_type: str
    aggregate_id: str
    missing: Multirange[int]
    unrecoverable: Multirange[int]
    noticed_at: datetime
    asks: int
    asked_at: datetime | None

    def covers(self, stream: Stream, sequence: int) -> bool:
        """Whether this event is missing."""
        mine = Stream(self.source, self.aggregate_type, self.aggregate_id)
        return mine == stream and _has(self.missing, sequence)

    def is_lost(self, sequence: int) -> bool:
        """Whether its source does not have it any more."""
        return _has(self.unrecoverable, sequence)


def _has(ranges: Multirange[int], sequence: int) -> bool:
    return any(sequence in one for one in ranges)

"""What a journey asks of the outbox table: events by time, by stream, and by what caused them.

No index finds an event by its id, its cause or its trace: each would cost every event that is
published. But ids are drawn in the order of time, so halving the range of ids finds the rows of a
moment in some twenty steps, and these few are filtered (decision 1933).

Invariant: no statement here reads more than the rows of the given moments, of some streams,
`RECENT` events or `SOONEST` scheduled ones. The day partitions that cannot have a moment are not
opened.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from outbox.event import Stream
from outbox.log.operator_queries import KINDS

RECENT = 100_000
"""So many of the newest rows are searched for what has no time."""
SOONEST = 20_000
"""So many scheduled events are searched, those that are due the soonest."""

EVENT = """
event_id, source, aggregate_type, aggregate_id, sequence, type, created_at, published_at, parked_at,
attempts, last_error, correlation_id, causation_id, traceparent
"""
TRACE = "substr(traceparent, 4, 32)"
"""The trace of an event (W3C Trace Context, 3.2)."""

# A partition holds a whole day, so no row of an opened partition is skipped one by one.
_NEAR = """
created_at >= date_trunc('day', {time}, 'UTC') - interval '1 day'
AND created_at < date_trunc('day', {time}, 'UTC') + interval '2 days'
"""
_RANGES = """
WITH RECURSIVE bounds AS (
  SELECT moment, bound, time
    FROM unnest(%(since)s::timestamptz[], %(until)s::timestamptz[]) WITH ORDINALITY
           AS m(since, until, moment)
   CROSS JOIN LATERAL (VALUES (1, since), (2, until)) AS b(bound, time)
), ends AS (
  SELECT (SELECT min(id) FROM {table}) AS first, (SELECT max(id) + 1 FROM {table}) AS past
), halving(moment, bound, time, low, high) AS (
  SELECT moment, bound, time, first, past FROM bounds CROSS JOIN ends WHERE first IS NOT NULL
  UNION ALL
  SELECT moment, bound, time, CASE WHEN found.is_before THEN least(found.id + 1, high) ELSE low END,
         CASE WHEN found.is_before THEN high ELSE (low + high) / 2 END
    FROM halving LEFT JOIN LATERAL (
           SELECT id, created_at < time AS is_before FROM {table}
            WHERE id >= (low + high) / 2 AND {near}
            ORDER BY id LIMIT 1
         ) AS found ON true
   WHERE low < high
), ranges AS (
  SELECT moment, max(time) FILTER (WHERE bound = 1) AS since,
         max(low) FILTER (WHERE bound = 1) AS first, max(low) FILTER (WHERE bound = 2) AS past
    FROM halving WHERE low >= high GROUP BY moment
)
"""
RANGES = _RANGES.format(table="outbox", near=_NEAR.format(time="time"))
"""The ids of the rows that were added between two times, for several such moments.

A moment must be shorter than a day.
"""
RANGES_OF_JOBS = _RANGES.format(table="outbox_jobs", near="true")
"""The same for jobs."""

AMONG = f"""
{RANGES}
SELECT e.* FROM ranges CROSS JOIN LATERAL (
  SELECT {EVENT} FROM outbox
   WHERE id >= first AND id < past AND {_NEAR.format(time="since")}
     AND (event_id = ANY(%(ids)s::uuid[]) OR causation_id = ANY(%(causes)s::text[])
          OR correlation_id = ANY(%(correlations)s::text[]) OR {TRACE} = ANY(%(traces)s::text[]))
   LIMIT %(limit)s
) AS e
"""  # noqa: S608
"""Events of some moments that have one of these ids, causes, correlation ids or traces."""

NEWEST = f"""
SELECT {EVENT} FROM (SELECT {EVENT} FROM outbox ORDER BY id DESC LIMIT {RECENT}) AS newest
 WHERE event_id = ANY(%(ids)s::uuid[]) OR correlation_id = ANY(%(correlations)s::text[])
    OR {TRACE} = ANY(%(traces)s::text[])
 LIMIT %(limit)s
"""  # noqa: S608
"""The same among the newest rows."""

EVERYWHERE = f"""
SELECT {EVENT} FROM outbox
 WHERE event_id = ANY(%(ids)s::uuid[]) OR correlation_id = ANY(%(correlations)s::text[])
    OR {TRACE} = ANY(%(traces)s::text[])
 LIMIT %(limit)s
"""  # noqa: S608
"""The same in the whole table. It reads every row."""

STREAMS = f"""
{KINDS}
SELECT source, aggregate_type, aggregate_id, last
  FROM kinds JOIN outbox_streams USING (source, aggregate_type)
 WHERE aggregate_id = ANY(%(ids)s::text[])
"""  # noqa: S608
"""The streams of some aggregates, whatever their types."""

BEGINNING_WITH = f"""
{KINDS}
SELECT s.source, s.aggregate_type, s.aggregate_id, s.last
  FROM kinds k CROSS JOIN LATERAL (
         SELECT * FROM outbox_streams o
          WHERE o.source = k.source AND o.aggregate_type = k.aggregate_type
            AND o.aggregate_id >= %(text)s
          ORDER BY o.aggregate_id LIMIT %(limit)s) AS s
 WHERE starts_with(s.aggregate_id, %(text)s)
 ORDER BY 3, 1, 2 LIMIT %(limit)s
"""  # noqa: S608
"""Streams whose aggregate's id begins with a text."""

# The index outbox_published_events finds one sequence, as for requests (`resend_queries`). That of
# unpublished rows has the bucket.
OF_STREAMS = f"""
WITH streams AS (
  SELECT * FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[],
                       %(firsts)s::bigint[], %(lasts)s::bigint[])
             AS s(source, aggregate_type, aggregate_id, first, last)
)
SELECT o.*
  FROM streams s
 CROSS JOIN LATERAL generate_series(s.first, s.last) AS q(sequence)
 CROSS JOIN LATERAL (
   SELECT {EVENT} FROM outbox o
    WHERE hashtextextended(o.aggregate_id, o.sequence)
          = hashtextextended(s.aggregate_id, q.sequence)
      AND o.aggregate_id = s.aggregate_id AND o.sequence = q.sequence
      AND o.aggregate_type = s.aggregate_type AND o.source = s.source
      AND o.published_at IS NOT NULL
    LIMIT 1
 ) AS o
UNION ALL
SELECT {EVENT}
  FROM outbox JOIN streams USING (source, aggregate_type, aggregate_id)
 WHERE published_at IS NULL AND bucket = ANY(%(buckets)s::smallint[])
   AND sequence BETWEEN first AND last
"""  # noqa: S608
"""Events of some streams from one sequence to another, published or not."""

SCHEDULED = f"""
SELECT source, key, due_at, event_id, aggregate_type, aggregate_id, type
  FROM (SELECT * FROM outbox_scheduled ORDER BY due_at LIMIT {SOONEST}) AS soonest
 WHERE aggregate_id = ANY(%(ids)s::text[]) OR correlation_id = ANY(%(correlations)s::text[])
    OR event_id = ANY(%(event_ids)s::uuid[])
 ORDER BY due_at LIMIT %(limit)s
"""  # noqa: S608
"""What is scheduled for some aggregates or requests, of what is due the soonest."""


@dataclass(frozen=True, slots=True)
class WrittenEvent:
    """A row of the outbox table, without its body."""

    event_id: UUID
    source: str
    aggregate_type: str
    aggregate_id: str
    sequence: int
    type: str
    created_at: datetime
    published_at: datetime | None
    parked_at: datetime | None
    attempts: int
    last_error: str | None
    correlation_id: str
    causation_id: str | None
    traceparent: str | None

    @property
    def stream(self) -> Stream:
        """The stream that the event belongs to."""
        return Stream(self.source, self.aggregate_type, self.aggregate_id)

    @property
    def trace(self) -> str | None:
        """The id of its trace."""
        return self.traceparent[3:35] if self.traceparent else None

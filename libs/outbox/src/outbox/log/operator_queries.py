"""What operators ask of the outbox table: replay, redrive, discard, status, one event, streams.

The statements are psycopg's, with named parameters. `outbox.operations` runs them and has a
dataclass for the rows of each; its fields are named like the columns.

One file, because together with `statements` (adding) and `relay_queries` (publishing) it has all
SQL on the tables `outbox`, `outbox_streams` and `outbox_scheduled`.
"""

from __future__ import annotations

REPLAYABLE = """
SELECT type, count(*) AS events, count(DISTINCT (source, aggregate_id)) AS aggregates,
       min(created_at) AS oldest, max(created_at) AS newest,
       to_hex(bit_xor(hashtextextended(event_id::text, 0))) AS digest
  FROM (SELECT * FROM outbox WHERE {where} LIMIT %(counted_to)s) chosen
 GROUP BY GROUPING SETS ((type), ()) ORDER BY type NULLS FIRST
"""
"""Published events: of all types in the first row, then by type.

`where` is the condition of a `Selection`.
"""

# The stream's counter says which sequences there are, and the index outbox_published_events finds
# them: without this the whole table would be read.
OF_AGGREGATE = """
aggregate_type = %(kind)s AND aggregate_id = %(id)s
AND hashtextextended(aggregate_id, sequence) = ANY(ARRAY(
  SELECT hashtextextended(%(id)s, n)
    FROM outbox_streams s CROSS JOIN generate_series(1, s.last) n
   WHERE s.aggregate_type = %(kind)s AND s.aggregate_id = %(id)s))
"""
"""Condition: a published event of one aggregate."""

# `published_at` is checked again on the rows: another replay may run at the same time.
REPLAY = """
WITH chosen AS (
  SELECT id, created_at FROM outbox WHERE {where} AND id > %(after)s ORDER BY id LIMIT %(limit)s
), cleared AS (
  UPDATE outbox o SET published_at = NULL, attempts = 0, last_error = NULL
    FROM chosen c
   WHERE o.id = c.id AND o.created_at = c.created_at AND o.published_at IS NOT NULL
  RETURNING 1
)
SELECT (SELECT max(id) FROM chosen), (SELECT count(*) FROM cleared)
"""
"""Clears `published_at` of one batch above an id; returns the last id and how many."""

HISTORY_FROM = "SELECT created_at FROM outbox ORDER BY id LIMIT 1"
"""The time of the oldest event."""

PARKED = "published_at IS NULL AND parked_at IS NOT NULL"
"""Condition: parked, because the broker refused the event itself."""

DISCARDABLE = "published_at IS NULL AND (parked_at IS NOT NULL OR last_error = 'returned')"
"""Condition: parked, or returned because no queue is bound."""

_STORED_EVENT = """
event_id, source, aggregate_type, aggregate_id, sequence, type, version, created_at, published_at,
parked_at, attempts, last_error, payload::text AS payload
"""
"""The columns of a `StoredEvent`."""

UNPUBLISHED_EVENTS = f"""
SELECT {_STORED_EVENT} FROM outbox
 WHERE {{which}} AND (%(ids)s::uuid[] IS NULL OR event_id = ANY(%(ids)s))
 ORDER BY id
"""  # noqa: S608
"""Events for which the condition `which` is true, all of them or those with these ids."""

# Relays try events in the order of their ids, so what has failed is among the first of a backlog.
FAILED_EVENTS = f"""
SELECT id, {_STORED_EVENT}
  FROM (SELECT * FROM outbox WHERE published_at IS NULL AND id > %(after)s
         ORDER BY id LIMIT %(searched)s) waiting
 WHERE {DISCARDABLE} ORDER BY id LIMIT %(limit)s
"""  # noqa: S608
"""Parked and returned events beyond an id, among the first unpublished ones."""

UNPUBLISHED_BY_AGE = """
SELECT CASE WHEN age < interval '1 second' THEN 'under a second'
            WHEN age < interval '10 seconds' THEN 'under 10 seconds'
            WHEN age < interval '1 minute' THEN 'under a minute'
            WHEN age < interval '1 hour' THEN 'under an hour'
            WHEN age < interval '1 day' THEN 'under a day'
            ELSE 'a day or more' END AS name,
       count(*) AS events, min(created_at) AS oldest
  FROM (SELECT created_at, clock_timestamp() - created_at AS age FROM outbox
         WHERE published_at IS NULL AND parked_at IS NULL ORDER BY id LIMIT %(limit)s) AS waiting
 GROUP BY 1 ORDER BY 3
"""
"""Unpublished events by age, the oldest first, counted to a limit."""

FAILED_PREVIEW = """
SELECT count(*) AS events, count(DISTINCT (source, aggregate_type, aggregate_id)) AS streams,
       0::bigint AS followers, statement_timestamp() AS at,
       coalesce(to_hex(bit_xor(hashtextextended(event_id::text, 0))), '') AS digest
  FROM outbox WHERE {which} AND event_id = ANY(%(ids)s)
"""
"""How many of these events the condition `which` is true for."""

# A binding of `order.#` matches the bare `order` too, where a longer type would be too long.
DISCARD = f"""
UPDATE outbox
   SET type = CASE WHEN octet_length(aggregate_type) > 245 THEN aggregate_type
                   ELSE aggregate_type || '.discarded' END,
       version = 1, payload = '{{}}', parked_at = NULL, attempts = 0, last_error = NULL
 WHERE {DISCARDABLE} AND event_id = ANY(%(ids)s)
RETURNING event_id
"""  # noqa: S608
"""Replaces events by tombstones under their ids and sequences. See decision 1121."""

REDRIVE = f"""
UPDATE outbox SET parked_at = NULL, attempts = 0, last_error = NULL
 WHERE {PARKED} AND event_id = ANY(%(ids)s)
RETURNING event_id
"""  # noqa: S608
"""Has parked events published as they are."""

BACKLOG = """
SELECT count(*) AS events,
       extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest_seconds,
       count(*) FILTER (WHERE attempts > 0) AS failing,
       count(DISTINCT (source, aggregate_type, aggregate_id)) FILTER (WHERE attempts > 0)
         AS backed_off
  FROM (SELECT * FROM outbox WHERE published_at IS NULL AND parked_at IS NULL
         ORDER BY id LIMIT %(limit)s) waiting
"""
"""Unpublished events, counted up to a limit."""

TROUBLES = """
SELECT CASE WHEN parked_at IS NULL THEN 'backed off' ELSE 'parked' END AS state,
       coalesce(last_error, 'unknown') AS error, type, count(*) AS events,
       min(created_at) AS oldest, (array_agg(event_id ORDER BY id))[1:%(named)s] AS first
  FROM (SELECT * FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT %(limit)s) waiting
 WHERE parked_at IS NOT NULL OR attempts > 0
 GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC, 3
"""
"""Events that failed, by state, last error and type, among the first unpublished ones."""

SCHEDULED = """
SELECT count(*) AS events, min(due_at) AS next_due,
       count(*) FILTER (WHERE due_at < clock_timestamp()) AS overdue
  FROM outbox_scheduled
"""
"""Scheduled events that are not yet in the outbox table."""

_SCHEDULED_EVENT = """
source, key, due_at, event_id, aggregate_type, aggregate_id, type, version,
payload::text AS payload, correlation_id, causation_id, traceparent
"""
"""The columns of a `DueEvent`."""

SCHEDULED_EVENTS = f"""
SELECT {_SCHEDULED_EVENT} FROM outbox_scheduled
 WHERE (due_at, source, key) > (%(due_at)s, %(source)s, %(key)s)
   AND (%(prefix)s::text IS NULL OR starts_with(key, %(prefix)s))
   AND (%(type)s::text IS NULL OR type = %(type)s)
 ORDER BY due_at, source, key LIMIT %(limit)s
"""  # noqa: S608
"""Events that are not yet due, the next due first."""

ONE_SCHEDULED_EVENT = f"""
SELECT {_SCHEDULED_EVENT} FROM outbox_scheduled WHERE source = %(source)s AND key = %(key)s
"""  # noqa: S608
"""One of them by its key, locked for its change by `FOR UPDATE`."""

MOVE_SCHEDULED = """
UPDATE outbox_scheduled SET due_at = %(due_at)s WHERE source = %(source)s AND key = %(key)s
"""
"""Gives one another time. The relay hears of it by the doorbell."""

UNSCHEDULE = "DELETE FROM outbox_scheduled WHERE source = %(source)s AND key = %(key)s"
"""Removes one: it is never published."""

# Sorted by bytes on both sides: two databases may disagree about everything else.
STREAM_ORDER = 'ORDER BY source COLLATE "C", aggregate_type COLLATE "C", aggregate_id COLLATE "C"'
"""A part of the statements that compare streams of two databases."""

BEHIND = """
FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(applied)s::bigint[])
     AS s(source, aggregate_type, aggregate_id, applied)
"""
"""Some streams with the sequences that a consumer has applied, to be joined."""

PRODUCED_STREAMS = f"""
SELECT source, aggregate_type, aggregate_id, last FROM outbox_streams
 WHERE last > 0 AND (source, aggregate_type) IN
       (SELECT * FROM unnest(%(sources)s::text[], %(types)s::text[])) {STREAM_ORDER}
"""  # noqa: S608
"""How far the streams of some sources and aggregate types have come, in `STREAM_ORDER`."""

EVENTS_BEHIND = f"""
SELECT source, aggregate_type, aggregate_id, o.sequence, o.event_id,
       CASE WHEN o.published_at IS NOT NULL
            THEN CASE WHEN o.published_at < clock_timestamp() - make_interval(secs => %(grace)s)
                      THEN 'lost' ELSE 'under way' END
            WHEN o.parked_at IS NOT NULL THEN 'parked at the source' ELSE 'unpublished' END
  {BEHIND} JOIN outbox o USING (source, aggregate_type, aggregate_id)
 WHERE o.sequence > s.applied
"""
"""Events that a consumer has not applied, each with the reason."""

LAST_SEQUENCES = f"""
SELECT source, aggregate_type, aggregate_id, last
  {BEHIND} JOIN outbox_streams USING (source, aggregate_type, aggregate_id)
"""
"""How far these streams have come."""

KINDS = """
WITH RECURSIVE kinds(source, aggregate_type) AS (
  (SELECT source, aggregate_type FROM outbox_streams ORDER BY 1, 2 LIMIT 1)
  UNION ALL
  SELECT n.* FROM kinds k CROSS JOIN LATERAL (
    SELECT source, aggregate_type FROM outbox_streams s
     WHERE (s.source, s.aggregate_type) > (k.source, k.aggregate_type)
     ORDER BY 1, 2 LIMIT 1) n
)
"""
"""The beginning of a statement: `kinds`, one step in the index for each."""
PRODUCED_KINDS = f"{KINDS} SELECT source, aggregate_type FROM kinds"  # noqa: S608
"""Which sources and aggregate types there are, by steps in the index."""

STREAMS_WITH_ID = f"""
{KINDS} SELECT source, aggregate_type FROM kinds JOIN outbox_streams USING (source, aggregate_type)
 WHERE aggregate_id = %(id)s
"""  # noqa: S608
"""The streams of an aggregate's id, of whatever source and type."""

STREAM_LAST = """
SELECT last FROM outbox_streams
 WHERE (source, aggregate_type, aggregate_id) = (%(source)s, %(aggregate_type)s, %(aggregate_id)s)
"""
"""How far one stream has come."""

_EVENT_OF_STREAM = """
sequence, event_id, type, version, created_at, published_at, parked_at, attempts, last_error,
octet_length(payload::text) AS size, correlation_id, causation_id, traceparent
"""
"""The columns of a `StreamEvent`."""

# The index outbox_published_events finds the published ones by their sequences; the bucket is in
# the index of the unpublished ones.
STREAM_EVENTS = f"""
WITH published AS (
  SELECT e.* FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS w(wanted)
   CROSS JOIN LATERAL (
    SELECT {_EVENT_OF_STREAM} FROM outbox
     WHERE hashtextextended(aggregate_id, sequence) = hashtextextended(%(aggregate_id)s, w.wanted)
       AND aggregate_id = %(aggregate_id)s AND sequence = w.wanted
       AND aggregate_type = %(aggregate_type)s AND source = %(source)s
       AND published_at IS NOT NULL LIMIT 1) e
), unpublished AS (
  SELECT {_EVENT_OF_STREAM} FROM outbox
   WHERE published_at IS NULL AND bucket = %(bucket)s AND aggregate_id = %(aggregate_id)s
     AND aggregate_type = %(aggregate_type)s AND source = %(source)s
     AND sequence BETWEEN %(first)s AND %(last)s
)
SELECT * FROM published UNION ALL SELECT * FROM unpublished ORDER BY sequence DESC
"""  # noqa: S608
"""The events of one stream in a range of sequences, as far as the table still has them."""

STREAMS_OF_TYPES = """
SELECT source, aggregate_type, aggregate_id, last FROM outbox_streams
 WHERE %(types)s::text[] IS NULL OR aggregate_type = ANY(%(types)s)
"""
"""How far all streams, or those of some aggregate types, have come."""

DAYS = """
SELECT c.relname AS name, pg_get_expr(c.relpartbound, c.oid) AS bounds,
       pg_total_relation_size(c.oid) AS bytes, greatest(c.reltuples, 0)::bigint AS events,
       coalesce(open.unpublished, 0) AS unpublished, coalesce(open.parked, 0) AS parked
  FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
  LEFT JOIN (SELECT tableoid, count(*) FILTER (WHERE parked_at IS NULL) AS unpublished,
                    count(*) FILTER (WHERE parked_at IS NOT NULL) AS parked
               FROM outbox WHERE published_at IS NULL GROUP BY tableoid) open
         ON open.tableoid = c.oid
 WHERE i.inhparent = to_regclass('outbox') AND NOT i.inhdetachpending
 ORDER BY c.relname
"""
"""The partitions with their sizes and their unpublished events."""

EVENTS_FROM_THE_FUTURE = """
SELECT count(*) FROM outbox
 WHERE published_at IS NULL AND created_at > clock_timestamp() + interval '1 minute'
"""
"""How many unpublished events are stamped later than now."""

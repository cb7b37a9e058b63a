"""The statements that add and schedule events, in psycopg's paramstyle.

They bypass SQLAlchemy's compiler, because every transaction runs one and its text never changes.
"""

from __future__ import annotations

import re
from functools import cache

from outbox.postgres.table_details import prefix

_TABLE = re.compile(r"\b(INTO|FROM) (outbox|outbox_streams|outbox_scheduled)\b")

# One event, as in most transactions: plain values cost the driver less than arrays of one. The
# names have prefixes, because this is also the tail of larger statements (see `Outbox.rows`).
ROW = """
outbox_stream AS (
  INSERT INTO outbox_streams AS s (source, aggregate_type, aggregate_id, last)
  VALUES (%(outbox_source)s, %(outbox_aggregate_type)s, %(outbox_aggregate_id)s, 1)
  ON CONFLICT (source, aggregate_type, aggregate_id) DO UPDATE SET last = s.last + 1
  RETURNING last
), outbox_log AS (
  INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence, type,
                      version, payload, correlation_id, causation_id, traceparent)
  SELECT %(outbox_event_id)s, %(outbox_bucket)s, %(outbox_source)s, %(outbox_aggregate_type)s,
         %(outbox_aggregate_id)s, last, %(outbox_type)s, %(outbox_version)s,
         %(outbox_payload)s::json, %(outbox_correlation_id)s, %(outbox_causation_id)s,
         %(outbox_traceparent)s
    FROM outbox_stream
)"""

# Several events of any aggregates: the counters are locked in the order of their keys.
ROWS = """
outbox_given AS (
  SELECT * FROM unnest(
    %(outbox_event_id)s::uuid[], %(outbox_bucket)s::smallint[], %(outbox_aggregate_type)s::text[],
    %(outbox_aggregate_id)s::text[], %(outbox_type)s::text[], %(outbox_version)s::smallint[],
    %(outbox_payload)s::text[], %(outbox_correlation_id)s::text[], %(outbox_causation_id)s::text[],
    %(outbox_traceparent)s::text[]
  ) WITH ORDINALITY AS g(event_id, bucket, aggregate_type, aggregate_id, type, version, payload,
                         correlation_id, causation_id, traceparent, position)
), outbox_stream AS (
  INSERT INTO outbox_streams AS s (source, aggregate_type, aggregate_id, last)
  SELECT %(outbox_source)s, aggregate_type, aggregate_id, count(*) FROM outbox_given
   GROUP BY aggregate_type, aggregate_id ORDER BY aggregate_type, aggregate_id
  ON CONFLICT (source, aggregate_type, aggregate_id) DO UPDATE SET last = s.last + excluded.last
  RETURNING aggregate_type, aggregate_id, last
), outbox_log AS (
  INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence, type,
                      version, payload, correlation_id, causation_id, traceparent)
  SELECT event_id, bucket, %(outbox_source)s, aggregate_type, aggregate_id,
         last - count(*) OVER (PARTITION BY aggregate_type, aggregate_id)
              + row_number() OVER (PARTITION BY aggregate_type, aggregate_id ORDER BY position),
         type, version, payload::json, correlation_id, causation_id, traceparent
    FROM outbox_given JOIN outbox_stream USING (aggregate_type, aggregate_id)
   ORDER BY position
)"""

# It makes the stream's counter, so that the relay can skip a locked stream when it moves the event:
# an INSERT would wait for an uncommitted counter. DO NOTHING would wait as well, for a counter that
# is being updated; hence NOT EXISTS.
SCHEDULE = """
WITH stream AS (
  INSERT INTO outbox_streams (source, aggregate_type, aggregate_id, last)
  SELECT %(outbox_source)s, %(outbox_aggregate_type)s, %(outbox_aggregate_id)s, 0
   WHERE NOT EXISTS (SELECT FROM outbox_streams
                      WHERE source = %(outbox_source)s
                        AND aggregate_type = %(outbox_aggregate_type)s
                        AND aggregate_id = %(outbox_aggregate_id)s)
  ON CONFLICT DO NOTHING
)
INSERT INTO outbox_scheduled (source, key, due_at, event_id, bucket, aggregate_type, aggregate_id,
                              type, version, payload, correlation_id, causation_id, traceparent)
VALUES (%(outbox_source)s, %(key)s, %(due_at)s, %(outbox_event_id)s, %(outbox_bucket)s,
        %(outbox_aggregate_type)s, %(outbox_aggregate_id)s, %(outbox_type)s, %(outbox_version)s,
        %(outbox_payload)s::json, %(outbox_correlation_id)s, %(outbox_causation_id)s,
        %(outbox_traceparent)s)
ON CONFLICT (source, key) DO UPDATE
   SET due_at = excluded.due_at, event_id = excluded.event_id, bucket = excluded.bucket,
       aggregate_type = excluded.aggregate_type, aggregate_id = excluded.aggregate_id,
       type = excluded.type, version = excluded.version, payload = excluded.payload,
       correlation_id = excluded.correlation_id, causation_id = excluded.causation_id,
       traceparent = excluded.traceparent
"""

UNSCHEDULE = """
DELETE FROM outbox_scheduled
 WHERE source = %(outbox_source)s AND key = ANY(%(keys)s::text[]) RETURNING key
"""


@cache
def in_schema(schema: str | None, statement: str) -> str:
    """The statement for tables in a schema that is not the first of the search path."""
    qualified = prefix(schema).replace("%", "%%")
    return _TABLE.sub(lambda found: f"{found[1]} {qualified}{found[2]}", statement)

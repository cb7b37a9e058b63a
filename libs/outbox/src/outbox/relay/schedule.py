"""Scheduled events: moved into the log when they are due, each in one statement with its sequence.

A move is a transaction of its own. Killed before its commit, the event is still scheduled; after
it, the event is in the log. Several relays that move at once take different rows, and none waits
for a stream that somebody's open transaction has locked: its events come the next time.
"""

from __future__ import annotations

from outbox.relay.log_reader import Connection

# `statement_timestamp()` holds still during the statement, so that the index on due_at knows what
# is due; with `clock_timestamp()` all that is scheduled would be read each time.
MOVE = """
WITH free AS (
  SELECT e.source, e.key
    FROM outbox_scheduled e JOIN outbox_streams USING (source, aggregate_type, aggregate_id)
   WHERE due_at <= statement_timestamp() ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), fresh AS (
  SELECT source, key FROM outbox_scheduled e
   WHERE due_at <= statement_timestamp()
     AND NOT EXISTS (SELECT FROM outbox_streams s WHERE s.source = e.source
                        AND s.aggregate_type = e.aggregate_type
                        AND s.aggregate_id = e.aggregate_id)
   ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), chosen AS (
  SELECT * FROM free UNION ALL SELECT * FROM fresh
), due AS (
  DELETE FROM outbox_scheduled s USING chosen
   WHERE s.source = chosen.source AND s.key = chosen.key
  RETURNING s.*
), stream AS (
  INSERT INTO outbox_streams AS s (source, aggregate_type, aggregate_id, last)
  SELECT source, aggregate_type, aggregate_id, count(*) FROM due
   GROUP BY source, aggregate_type, aggregate_id ORDER BY source, aggregate_type, aggregate_id
  ON CONFLICT (source, aggregate_type, aggregate_id) DO UPDATE SET last = s.last + excluded.last
  RETURNING source, aggregate_type, aggregate_id, last
), moved AS (
  INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence, type,
                      version, payload, correlation_id, causation_id, traceparent)
  SELECT event_id, bucket, source, aggregate_type, aggregate_id,
         last - count(*) OVER (PARTITION BY source, aggregate_type, aggregate_id)
              + row_number() OVER (PARTITION BY source, aggregate_type, aggregate_id
                                   ORDER BY due_at, key),
         type, version, payload, correlation_id, causation_id, traceparent
    FROM due JOIN stream USING (source, aggregate_type, aggregate_id)
   ORDER BY due_at, key
  RETURNING 1
)
SELECT count(*) FROM moved
"""

_NEXT = "SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM outbox_scheduled"


class Schedule:
    """The scheduled events as the relay sees them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def move_due(self, *, limit: int) -> int:
        """Move due events into the log, about `limit` at a time; returns how many.

        Those whose stream somebody has locked do not count: they would hide what is behind them.
        """
        cursor = await self._connection.execute(MOVE, {"limit": limit})
        (moved,) = await cursor.fetchone() or (0,)
        return int(moved)

    async def next_due(self) -> float | None:
        """Seconds until the next one is due, at least 0; None if nothing is scheduled."""
        cursor = await self._connection.execute(_NEXT)
        (seconds,) = await cursor.fetchone() or (None,)
        return None if seconds is None else max(0.0, float(seconds))

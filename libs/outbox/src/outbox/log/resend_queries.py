"""What the handler of a request does to the outbox table, in psycopg's paramstyle.

Invariant: a request costs index lookups for the events that it names, at most `MAX_EVENTS`, and one
look at the backlog, at most `BACKLOG` rows.
"""

from __future__ import annotations

BACKLOG = 100_000

# All parts of one statement see the same rows, so an event that a relay or another request is just
# changing is found by one of them. `published_at` is checked again on the rows that are changed.
# The index outbox_published_events finds the published ones; with LIMIT no plan joins the whole
# table instead, as one without statistics would.
RESEND = """
WITH asked AS (
  SELECT * FROM unnest(%(types)s::text[], %(ids)s::text[], %(sequences)s::bigint[])
             AS a(aggregate_type, aggregate_id, sequence)
), published AS MATERIALIZED (
  SELECT a.*, o.id, o.created_at
    FROM asked a CROSS JOIN LATERAL (
      SELECT id, created_at FROM outbox
       WHERE hashtextextended(aggregate_id, sequence)
             = hashtextextended(a.aggregate_id, a.sequence)
         AND aggregate_id = a.aggregate_id AND sequence = a.sequence
         AND aggregate_type = a.aggregate_type AND source = %(source)s
         AND published_at IS NOT NULL
       LIMIT 1
    ) o
   ORDER BY o.id
), cleared AS (
  UPDATE outbox o SET published_at = NULL, attempts = 0, last_error = NULL
    FROM published p
   WHERE o.id = p.id AND o.created_at = p.created_at AND o.published_at IS NOT NULL
  RETURNING 1
), others AS (
  SELECT * FROM asked EXCEPT SELECT aggregate_type, aggregate_id, sequence FROM published
), backlog AS MATERIALIZED (
  SELECT source, aggregate_type, aggregate_id, sequence FROM outbox
   WHERE published_at IS NULL ORDER BY id LIMIT %(backlog)s
), unavailable AS (
  SELECT * FROM others x
   WHERE (SELECT count(*) FROM backlog) < %(backlog)s
     AND NOT EXISTS (SELECT FROM backlog b
                      WHERE b.source = %(source)s AND b.aggregate_type = x.aggregate_type
                        AND b.aggregate_id = x.aggregate_id AND b.sequence = x.sequence)
)
SELECT (SELECT count(*) FROM cleared), u.aggregate_type, u.aggregate_id, u.sequence
  FROM (SELECT) one LEFT JOIN unavailable u ON true
 ORDER BY 2, 3, 4
"""
"""Has asked events published again.

Returns how many in each row; besides, the events that the outbox table does not have. Behind a
backlog that is too long to search nothing counts as missing: the consumer asks again.
"""

BEACONS_AGAIN = """
UPDATE outbox_beacons b SET asked_since = least(b.asked_since, a.since)
  FROM (SELECT aggregate_type, min(since) AS since
          FROM unnest(%(types)s::text[], %(sinces)s::timestamptz[]) AS u(aggregate_type, since)
         GROUP BY aggregate_type) a
 WHERE b.source = %(source)s AND b.aggregate_type = a.aggregate_type AND a.since < b.until
"""
"""Beacons of these aggregate types speak once more of what was published since then."""

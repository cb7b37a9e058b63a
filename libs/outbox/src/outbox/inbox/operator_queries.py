"""What operators ask of the table `inbox`: which consumers there are, and how far they have come.

The statements are psycopg's, with named parameters. `outbox.operations` runs them and has a
dataclass for the rows of each; its fields are named like the columns. Parked events are in
`outbox.inbox.parked_events`.
"""

from __future__ import annotations

from outbox.log.operator_queries import STREAM_ORDER

CONSUMERS = """
SELECT consumer, count(*) AS streams, count(*) FILTER (WHERE blocked) AS blocked
  FROM inbox GROUP BY consumer ORDER BY consumer
"""
"""The consumers with the number of their streams, and of those that are blocked."""

CONSUMED_KINDS = "SELECT DISTINCT consumer, source, aggregate_type FROM inbox"
"""The sources and aggregate types that each consumer has received."""

APPLIED_STREAMS = f"""
SELECT source, aggregate_type, aggregate_id, last_sequence FROM inbox
 WHERE consumer = %(consumer)s AND (source, aggregate_type) IN
       (SELECT * FROM unnest(%(sources)s::text[], %(types)s::text[])) {STREAM_ORDER}
"""  # noqa: S608
"""How far a consumer has come in the streams of some sources and aggregate types."""

POSITIONS = """
SELECT consumer, last_sequence, last_event_id, blocked FROM inbox
 WHERE source = %(source)s AND aggregate_type = %(kind)s AND aggregate_id = %(aggregate)s
 ORDER BY consumer
"""
"""How far each consumer has come in one stream."""

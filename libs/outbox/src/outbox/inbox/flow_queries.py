"""What is asked of the inbox again and again to plot the flow. Bounded, like the outbox table's."""

from __future__ import annotations

from outbox.inbox.parked_queries import FOR_PERSON

PARKED = f"""
SELECT consumer, count(*) AS parked, count(*) FILTER (WHERE for_person) AS for_person,
       extract(epoch FROM clock_timestamp() - min(parked_at))::float8 AS oldest
  FROM (SELECT consumer, parked_at, ({FOR_PERSON}) AS for_person
          FROM inbox_parked LIMIT %(limit)s) AS parked
 GROUP BY consumer
"""  # noqa: S608
"""Parked events by consumer, counted to a limit for all together."""

SOURCES = """
WITH RECURSIVE pairs AS (
  (SELECT consumer, source FROM inbox ORDER BY consumer, source LIMIT 1)
  UNION ALL
  SELECT later.consumer, later.source
    FROM pairs p CROSS JOIN LATERAL (
      SELECT consumer, source FROM inbox i WHERE (i.consumer, i.source) > (p.consumer, p.source)
       ORDER BY consumer, source LIMIT 1) AS later
)
SELECT consumer, source FROM pairs
"""
"""Which consumer receives from which source: one step in the index for each pair."""

APPLIED = """
SELECT consumer, sum(cardinality(event_ids))::bigint AS events,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS p50,
       percentile_cont(0.99) WITHIN GROUP (ORDER BY took) AS p99
  FROM (SELECT consumer, event_ids, extract(epoch FROM applied_at - oldest_at)::float8 AS took
          FROM inbox_applied WHERE applied_at > %(since)s
         ORDER BY applied_at DESC LIMIT %(limit)s) AS newest
 GROUP BY consumer
"""
"""Events applied since a time by consumer, and from their commit to their effect in seconds."""

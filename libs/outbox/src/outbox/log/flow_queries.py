"""What is asked of the outbox table again and again to plot the flow: bounded, on indexes alone.

Each statement reads at most as many rows as its limit, however large the table is.
"""

from __future__ import annotations

SOURCE = "SELECT source FROM outbox_streams LIMIT 1"
"""The name under which this service publishes; one service has one."""

LAST_ID = "SELECT coalesce(max(id), 0) FROM outbox"
"""The newest id. Ids grow by one an event, but for transactions that were rolled back."""

PUBLISHED = """
SELECT (SELECT count(*) FROM (SELECT FROM outbox WHERE published_at > %(since)s
                              LIMIT %(limit)s) AS marked)::bigint AS events,
       spread.p50, spread.p99
  FROM (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY took) AS p50,
               percentile_cont(0.99) WITHIN GROUP (ORDER BY took) AS p99
          FROM (SELECT extract(epoch FROM published_at - created_at)::float8 AS took FROM outbox
                 WHERE published_at > %(since)s ORDER BY published_at DESC
                 LIMIT %(sampled)s) AS newest) AS spread
"""
"""Events published since a time, counted to a limit; how long the newest waited before."""

WAITING = """
SELECT count(*) AS events, extract(epoch FROM clock_timestamp() - min(created_at))::float8 AS oldest
  FROM (SELECT created_at FROM outbox WHERE published_at IS NULL AND parked_at IS NULL
         ORDER BY id LIMIT %(limit)s) AS waiting
"""
"""Unpublished events, counted to a limit, and the age of the oldest in seconds."""

NOT_GOING = """
SELECT count(*) FILTER (WHERE parked_at IS NOT NULL), count(*) FILTER (WHERE parked_at IS NULL)
  FROM (SELECT parked_at FROM outbox
         WHERE published_at IS NULL AND (parked_at IS NOT NULL OR attempts > 0)
         LIMIT %(limit)s) AS failing
"""
"""Unpublished events that are parked, and those that are backed off; to a limit."""

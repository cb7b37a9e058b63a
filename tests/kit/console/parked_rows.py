"""Many parked events in an inbox, written by SQL: a consumer would take minutes."""

from __future__ import annotations

import psycopg

CONSUMER, SOURCE = "kitchen.orders", "shop"

_POSITIONS = """
INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id, last_sequence, blocked, parked)
SELECT %(consumer)s, %(source)s, 'order', 'o-' || lpad(stream::text, 8, '0'), 0, true, %(events)s
  FROM generate_series(1, %(streams)s::int) AS stream
"""
_PARKED = """
INSERT INTO inbox_parked (consumer, source, aggregate_type, aggregate_id, sequence, event_id,
                          reason, type, version, time, body, correlation_id, attempts,
                          last_error, last_traceback, cause, fingerprint, failed_at, failed_with,
                          parked_at)
SELECT %(consumer)s, %(source)s, 'order', 'o-' || lpad(stream::text, 8, '0'), sequence,
       gen_random_uuid(), CASE WHEN sequence = 1 THEN 'failed' ELSE 'behind' END,
       %(type)s, 1, clock_timestamp() - interval '1 hour', %(body)s::bytea, 'c-' || stream,
       CASE WHEN sequence = 1 THEN 3 ELSE 0 END,
       CASE WHEN sequence = 1 THEN %(error)s END, CASE WHEN sequence = 1 THEN %(trace)s END,
       CASE WHEN sequence = 1 THEN 'ValueError in cook' END,
       CASE WHEN sequence = 1 THEN %(group)s END,
       CASE WHEN sequence = 1 THEN ARRAY[clock_timestamp() - interval '50 minutes'] ELSE '{}' END,
       CASE WHEN sequence = 1 THEN ARRAY['ValueError'] ELSE '{}' END,
       clock_timestamp() - interval '50 minutes'
  FROM generate_series(1, %(streams)s::int) AS stream,
       generate_series(1, %(events)s::int) AS sequence
"""


def park(
    database_url: str,
    *,
    streams: int,
    events: int,
    consumer: str = CONSUMER,
    event_type: str = "order.happened",
    body: bytes = b'{"number": 1}',
    error: str = "ValueError: no such dish",
    group: str = "f00dcafe",
) -> None:
    """So many streams stop at their first event, with the others of their `events` behind it."""
    values = {
        "consumer": consumer,
        "source": SOURCE,
        "streams": streams,
        "events": events,
        "type": event_type,
        "body": body,
        "error": error,
        "trace": f"Traceback (most recent call last):\n  in cook\n{error}",
        "group": group,
    }
    with psycopg.connect(database_url) as connection:
        connection.execute(_POSITIONS, values)
        connection.execute(_PARKED, values)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE inbox, inbox_parked")

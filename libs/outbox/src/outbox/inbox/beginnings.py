"""Where a new consumer begins, if not at the first event of every stream."""

from __future__ import annotations

from typing import Any

import psycopg

from outbox.event import Stream
from outbox.inbox.baseline import producer_streams

Connection = psycopg.AsyncConnection[Any]

_KNOWN = """
SELECT i.source, i.aggregate_type, i.aggregate_id, i.last_sequence, min(p.sequence)
  FROM inbox i LEFT JOIN inbox_parked p
       ON (p.consumer, p.source, p.aggregate_type, p.aggregate_id)
        = (i.consumer, i.source, i.aggregate_type, i.aggregate_id)
      AND p.sequence > i.last_sequence AND p.reason <> 'forked'
 WHERE i.consumer = %(consumer)s
 GROUP BY i.source, i.aggregate_type, i.aggregate_id, i.last_sequence
"""


async def beginnings(
    producer: Connection,
    consumer: Connection,
    name: str,
    *,
    aggregate_types: list[str] | None = None,
) -> dict[Stream, int]:
    """After which sequence to begin in each stream, so that the past is not waited for.

    Streams of which the consumer has applied something are left out: it has begun there. Where
    events are held already, it begins with the first of them; else with the next to come.
    """
    streams = await producer_streams(producer, aggregate_types=aggregate_types)
    cursor = await consumer.execute(_KNOWN, {"consumer": name})
    for source, kind, id_, applied, held in await cursor.fetchall():
        stream = Stream(source, kind, id_)
        if applied > 0:
            streams.pop(stream, None)
        elif held is not None and stream in streams:
            streams[stream] = held - 1
    return {stream: last for stream, last in streams.items() if last > 0}

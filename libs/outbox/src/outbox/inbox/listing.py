"""What is parked, as a person wants to see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg

from outbox.event import Stream
from outbox.inbox.parked_events import NEXT_ATTEMPT

Connection = psycopg.AsyncConnection[Any]

_COLUMNS = f"""
consumer, source, aggregate_type, aggregate_id, sequence, event_id, reason, type, version, time,
attempts, {NEXT_ATTEMPT}, last_error, parked_at, correlation_id, causation_id
"""

_LIST = f"""
SELECT {_COLUMNS}, length(body), NULL::bytea, NULL
  FROM inbox_parked
 WHERE (%(consumer)s::text IS NULL OR consumer = %(consumer)s)
   AND (%(reason)s::text IS NULL OR reason = %(reason)s)
   AND (%(aggregate_id)s::text IS NULL OR aggregate_id = %(aggregate_id)s)
 ORDER BY parked_at, consumer, source, aggregate_type, aggregate_id, sequence, event_id
 LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608

_SHOW = f"""
SELECT {_COLUMNS}, length(body), body, last_traceback
  FROM inbox_parked
 WHERE (consumer, source, aggregate_type, aggregate_id) = (%s, %s, %s, %s)
   AND (%s::bigint IS NULL OR sequence = %s)
 ORDER BY sequence, parked_at
"""  # noqa: S608

_GAPS = """
SELECT i.source, i.aggregate_type, i.aggregate_id, i.last_sequence + 1, min(p.sequence) - 1,
       count(*), min(p.parked_at)
  FROM inbox i JOIN inbox_parked p USING (consumer, source, aggregate_type, aggregate_id)
 WHERE i.consumer = %s AND p.sequence > i.last_sequence AND p.reason <> 'forked'
 GROUP BY i.source, i.aggregate_type, i.aggregate_id, i.last_sequence
HAVING min(p.sequence) > i.last_sequence + 1
 ORDER BY min(p.parked_at)
 LIMIT %s
"""

_PLACE = """
SELECT i.last_sequence, min(p.sequence)
  FROM inbox i LEFT JOIN inbox_parked p
       ON (p.consumer, p.source, p.aggregate_type, p.aggregate_id)
        = (i.consumer, i.source, i.aggregate_type, i.aggregate_id)
      AND p.sequence > i.last_sequence AND p.reason <> 'forked'
 WHERE (i.consumer, i.source, i.aggregate_type, i.aggregate_id) = (%s, %s, %s, %s)
 GROUP BY i.last_sequence
"""


@dataclass(frozen=True, slots=True)
class Parked:
    """An event that waits. `body` are its raw bytes, left out of lists, as is the traceback."""

    consumer: str
    stream: Stream
    sequence: int
    event_id: UUID
    reason: str
    type: str
    version: int
    time: datetime
    attempts: int
    next_attempt_at: datetime | None
    last_error: str | None
    parked_at: datetime
    correlation_id: str
    causation_id: str | None
    size: int
    body: bytes | None
    last_traceback: str | None


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequences that a stream waits for, and how many events wait behind them since when."""

    stream: Stream
    first: int
    last: int
    waiting: int
    since: datetime


async def list_parked(
    connection: Connection,
    consumer: str | None = None,
    *,
    reason: str | None = None,
    aggregate_id: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Parked]:
    """Parked events, the longest waiting first, of one consumer or of all."""
    parameters = {
        "consumer": consumer,
        "reason": reason,
        "aggregate_id": aggregate_id,
        "limit": limit,
        "offset": offset,
    }
    cursor = await connection.execute(_LIST, parameters)
    return [_parked(*row) for row in await cursor.fetchall()]


async def show(
    connection: Connection, consumer: str, stream: Stream, sequence: int | None = None
) -> list[Parked]:
    """What is parked of a stream, with bodies, in order; more than one a place where it forked."""
    key = [consumer, stream.source, stream.aggregate_type, stream.aggregate_id]
    cursor = await connection.execute(_SHOW, [*key, sequence, sequence])
    return [_parked(*row) for row in await cursor.fetchall()]


async def list_gaps(connection: Connection, consumer: str, *, limit: int = 100) -> list[Gap]:
    """Streams that wait for events which have not arrived, the longest waiting first."""
    cursor = await connection.execute(_GAPS, [consumer, limit])
    return [
        Gap(Stream(source, kind, id_), *rest)
        for source, kind, id_, *rest in await cursor.fetchall()
    ]


async def progress(connection: Connection, consumer: str, stream: Stream) -> tuple[int, int | None]:
    """How far a consumer has come in a stream, and the first sequence that waits beyond."""
    key = [consumer, stream.source, stream.aggregate_type, stream.aggregate_id]
    row = await (await connection.execute(_PLACE, key)).fetchone()
    return (0, None) if row is None else (row[0], row[1])


def _parked(consumer: str, source: str, kind: str, id_: str, *rest: Any) -> Parked:
    return Parked(consumer, Stream(source, kind, id_), *rest)

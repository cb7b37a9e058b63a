"""Events kept for later: those beyond a gap, those that failed, and those behind them.

Invariant: what is next in a stream that is not blocked has a time at which it is due, or a delivery
that is not acked yet. Nobody else would ever come back to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg

from outbox.event import Envelope, Stream
from outbox.inbox.position import Verdict
from outbox.tracebacks import storable

Connection = psycopg.AsyncConnection[Any]

FAILED, CRASHED, UNREADABLE, DISCARDED = "failed", "crashed", "unreadable", "discarded"
UNHANDLED = "unhandled"
FORKED = Verdict.FORKED.value
REASONS = (
    *(verdict.value for verdict in Verdict if verdict.parks),
    FAILED,
    CRASHED,
    UNREADABLE,
    UNHANDLED,
    DISCARDED,
)
MAX_ERROR = 1_000

FIRST = "timestamptz '-infinity'"
"""When something is due that a person redrives: before all that is retried by itself."""
NEXT_ATTEMPT = """
CASE WHEN isfinite(next_attempt_at) THEN next_attempt_at
     WHEN next_attempt_at IS NOT NULL THEN clock_timestamp() END
"""
"""The same to look at, where `FIRST` is now."""

_OF_STREAM = """
 WHERE consumer = %(consumer)s AND source = %(source)s AND aggregate_type = %(aggregate_type)s
   AND aggregate_id = %(aggregate_id)s AND sequence = %(sequence)s
"""

_PARK = f"""
INSERT INTO inbox_parked (consumer, source, aggregate_type, aggregate_id, sequence, event_id,
                          reason, type, version, time, body, correlation_id, causation_id,
                          traceparent)
SELECT %(consumer)s, %(source)s, %(aggregate_type)s, %(aggregate_id)s, %(sequence)s, %(event_id)s,
       -- Only one event can be the one at its place: the first that came.
       CASE WHEN EXISTS (SELECT FROM inbox_parked {_OF_STREAM}) THEN 'forked' ELSE %(reason)s END,
       %(type)s, %(version)s, %(time)s, %(body)s, %(correlation_id)s, %(causation_id)s,
       %(traceparent)s
ON CONFLICT DO NOTHING
RETURNING reason
"""  # noqa: S608

_AT = f"""
SELECT event_id, sequence, type, version, time, body, correlation_id, causation_id, traceparent,
       attempts, coalesce(next_attempt_at <= clock_timestamp(), false), reason = 'discarded'
  FROM inbox_parked {_OF_STREAM} AND reason <> 'forked'
 ORDER BY parked_at LIMIT 1
"""  # noqa: S608

# The event has taken effect. If another is parked at its place, that one can never be.
_SETTLE = f"""
WITH gone AS (
  DELETE FROM inbox_parked {_OF_STREAM} AND event_id = %(event_id)s RETURNING 1
), forked AS (
  UPDATE inbox_parked SET reason = '{FORKED}', next_attempt_at = NULL
  {_OF_STREAM} AND event_id <> %(event_id)s
)
SELECT count(*) FROM gone
"""  # noqa: S608

_REMOVE = f"DELETE FROM inbox_parked {_OF_STREAM} AND event_id = %(event_id)s"  # noqa: S608

_ATTEMPTED = f"""
UPDATE inbox_parked
   SET reason = %(reason)s, attempts = attempts + %(counts)s, last_error = %(error)s,
       last_traceback = %(traceback)s,
       next_attempt_at = clock_timestamp() + make_interval(secs => %(delay)s)
{_OF_STREAM} AND event_id = %(event_id)s
"""  # noqa: S608

_MAKE_DUE = f"""
UPDATE inbox_parked SET next_attempt_at = clock_timestamp(), attempts = 0
{_OF_STREAM} AND reason <> 'forked'
RETURNING 1
"""  # noqa: S608

_LET_GO = """
DELETE FROM inbox_parked
 WHERE (consumer, source, aggregate_type, aggregate_id)
     = (%(consumer)s, %(source)s, %(aggregate_type)s, %(aggregate_id)s)
   AND sequence <= %(through)s
RETURNING 1
"""

# In the order of the index inbox_parked_due, so that nothing waits for others with a lower name.
_DUE = """
SELECT source, aggregate_type, aggregate_id
  FROM inbox_parked
 WHERE consumer = %(consumer)s AND next_attempt_at <= statement_timestamp()
 ORDER BY next_attempt_at LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that waits, how often it has failed, and whether it is to be tried again now."""

    envelope: Envelope
    attempts: int = 0
    due: bool = False
    discarded: bool = False


def _of(consumer: str, stream: Stream) -> dict[str, Any]:
    return {
        "consumer": consumer,
        "source": stream.source,
        "aggregate_type": stream.aggregate_type,
        "aggregate_id": stream.aggregate_id,
    }


async def park(
    connection: Connection, consumer: str, envelope: Envelope, reason: Verdict | str
) -> str | None:
    """Keep an event; returns for what reason, None if it was kept already.

    Where another event is parked at the same place, the reason is `forked`.
    """
    parameters = {
        **_of(consumer, envelope.stream),
        "sequence": envelope.sequence,
        "event_id": envelope.id,
        "reason": str(reason),
        "type": envelope.type,
        "version": envelope.version,
        "time": envelope.time,
        "body": envelope.payload,
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "traceparent": envelope.traceparent,
    }
    cursor = await connection.execute(_PARK, parameters)
    row = await cursor.fetchone()
    return None if row is None else str(row[0])


async def at(
    connection: Connection, consumer: str, stream: Stream, sequence: int
) -> ParkedEvent | None:
    """The event that waits at this place of a stream, if any."""
    cursor = await connection.execute(_AT, {**_of(consumer, stream), "sequence": sequence})
    row = await cursor.fetchone()
    if row is None:
        return None
    id_, sequence, type_, version, time, body, *context, attempts, due, discarded = row
    envelope = Envelope(id_, stream, sequence, type_, version, time, bytes(body), *context)
    return ParkedEvent(envelope, attempts, due, discarded)


async def settle(connection: Connection, consumer: str, envelope: Envelope) -> int:
    """The event has taken effect and waits no longer; returns how many rows that were."""
    cursor = await connection.execute(_SETTLE, _identity(consumer, envelope))
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def remove(
    connection: Connection, consumer: str, stream: Stream, sequence: int, event_id: UUID
) -> None:
    """The event waits no longer."""
    place = {"sequence": sequence, "event_id": event_id}
    await connection.execute(_REMOVE, {**_of(consumer, stream), **place})


async def let_go(connection: Connection, consumer: str, stream: Stream, *, through: int) -> int:
    """Remove what is parked up to a sequence; returns how many events."""
    cursor = await connection.execute(_LET_GO, {**_of(consumer, stream), "through": through})
    return len(await cursor.fetchall())


async def make_due(connection: Connection, consumer: str, stream: Stream, sequence: int) -> bool:
    """Let the event at this place be tried now, with all attempts before it; false if none is."""
    cursor = await connection.execute(_MAKE_DUE, {**_of(consumer, stream), "sequence": sequence})
    return await cursor.fetchone() is not None


async def attempted(
    connection: Connection,
    consumer: str,
    envelope: Envelope,
    *,
    error: str,
    traceback: str | None = None,
    delay: float | None,
    reason: str = FAILED,
    counts: bool = True,
) -> None:
    """An attempt came to nothing; the next is after `delay` seconds, or never if that is None."""
    await connection.execute(
        _ATTEMPTED,
        {
            **_identity(consumer, envelope),
            "error": storable(error)[:MAX_ERROR],
            "traceback": None if traceback is None else storable(traceback),
            "delay": delay,
            "reason": reason,
            "counts": int(counts),
        },
    )


async def due(connection: Connection, consumer: str, *, limit: int = 100) -> list[Stream]:
    """Streams whose first event is to be tried again: redriven ones, then the longest due."""
    cursor = await connection.execute(_DUE, {"consumer": consumer, "limit": limit})
    return list(dict.fromkeys([Stream(*row) for row in await cursor.fetchall()]))


def _identity(consumer: str, envelope: Envelope) -> dict[str, Any]:
    place = {"sequence": envelope.sequence, "event_id": envelope.id}
    return {**_of(consumer, envelope.stream), **place}

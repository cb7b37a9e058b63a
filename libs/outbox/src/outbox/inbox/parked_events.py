"""Events kept for later: those beyond a gap, those that failed, and those behind them.

Invariant: what is next in a stream that is not blocked has a time at which it is due, or a delivery
that is not acked yet. Without one of the two it would wait for ever.

One file, because it holds all SQL on `inbox_parked` and `inbox_discarded`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from psycopg.rows import class_row

from outbox.event import Envelope, Stream
from outbox.inbox.parked_rows import (
    Failure,
    Gap,
    ParkedCount,
    ParkedEvent,
    ParkedStream,
    ParkedType,
)
from outbox.inbox.position import Connection, Position, columns
from outbox.tracebacks import storable

logger = logging.getLogger(__name__)

Row = TypeVar("Row")

MAX_ERROR = 1_000

_BYTES = "(octet_length(body) + 1024)"
"""The size of one parked event: a row and its index entries take about a KiB beside the body."""
_REDRIVEN = "timestamptz '-infinity'"
"""When an event is due that a person redrives: before all that is retried by itself."""
_NEXT_ATTEMPT = """
CASE WHEN isfinite(next_attempt_at) THEN next_attempt_at
     WHEN next_attempt_at IS NOT NULL THEN clock_timestamp() END
"""
"""The next attempt as a person wants to see it: a redriven event is due now."""

_STREAM = """
consumer = %(consumer)s AND source = %(source)s AND aggregate_type = %(aggregate_type)s
AND aggregate_id = %(aggregate_id)s
"""
_AT = f"{_STREAM} AND sequence = %(sequence)s"
_EVENT = f"{_AT} AND event_id = %(event_id)s"
_CONSUMER = "(%(consumer)s::text IS NULL OR consumer = %(consumer)s)"
_GIVEN_STREAM = """
(%(source)s::text IS NULL
 OR (i.source, i.aggregate_type, i.aggregate_id)
  = (%(source)s, %(aggregate_type)s, %(aggregate_id)s))
"""
_COLUMNS = f"""
consumer, source, aggregate_type, aggregate_id, sequence, event_id, reason, type, version, time,
attempts, {_NEXT_ATTEMPT}, last_error, parked_at, correlation_id, causation_id, traceparent,
length(body)
"""

_PARK = f"""
INSERT INTO inbox_parked (consumer, source, aggregate_type, aggregate_id, sequence, event_id,
                          reason, type, version, time, body, correlation_id, causation_id,
                          traceparent)
SELECT %(consumer)s, %(source)s, %(aggregate_type)s, %(aggregate_id)s, %(sequence)s, %(event_id)s,
       -- Only one event can be right at its sequence: the first that came.
       CASE WHEN EXISTS (SELECT FROM inbox_parked WHERE {_AT}) THEN 'forked' ELSE %(reason)s END,
       %(type)s, %(version)s, %(time)s, %(body)s, %(correlation_id)s, %(causation_id)s,
       %(traceparent)s
ON CONFLICT DO NOTHING
RETURNING reason
"""  # noqa: S608
_WAITING_AT = f"""
SELECT {_COLUMNS}, body, NULL FROM inbox_parked
 WHERE {_AT} AND reason <> 'forked'
   AND (NOT %(due)s OR next_attempt_at <= clock_timestamp())
 ORDER BY parked_at LIMIT 1
"""  # noqa: S608
# If another event is parked at the same sequence, it can never take effect.
_REMOVE_APPLIED = f"""
WITH gone AS (
  DELETE FROM inbox_parked WHERE {_EVENT} RETURNING 1
), forked AS (
  UPDATE inbox_parked SET reason = 'forked', next_attempt_at = NULL
   WHERE {_AT} AND event_id <> %(event_id)s
)
SELECT count(*) FROM gone
"""  # noqa: S608
_REMOVE = f"DELETE FROM inbox_parked WHERE {_EVENT}"  # noqa: S608
_REMOVE_THROUGH = f"DELETE FROM inbox_parked WHERE {_STREAM} AND sequence <= %(last)s"  # noqa: S608
_NOTE_FAILURE = f"""
UPDATE inbox_parked
   SET reason = %(reason)s, attempts = attempts + %(counts)s, last_error = %(error)s,
       last_traceback = %(traceback)s,
       next_attempt_at = clock_timestamp() + make_interval(secs => %(delay)s)
 WHERE {_EVENT}
"""  # noqa: S608
_MAKE_DUE = f"""
UPDATE inbox_parked SET next_attempt_at = clock_timestamp(), attempts = 0
 WHERE {_AT} AND reason <> 'forked'
"""  # noqa: S608
_REDRIVE_NEXT = f"""
UPDATE inbox_parked p SET next_attempt_at = {_REDRIVEN}, attempts = 0
  FROM inbox i JOIN unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[])
       AS s(source, aggregate_type, aggregate_id) USING (source, aggregate_type, aggregate_id)
 WHERE i.consumer = %(consumer)s
   AND (p.consumer, p.source, p.aggregate_type, p.aggregate_id, p.sequence)
     = (i.consumer, i.source, i.aggregate_type, i.aggregate_id, i.last_sequence + 1)
   AND p.reason <> 'forked'
"""  # noqa: S608
# In the order of the index inbox_parked_due, so that no stream waits for those with a lower name.
_DUE_STREAMS = """
SELECT source, aggregate_type, aggregate_id
  FROM inbox_parked
 WHERE consumer = %(consumer)s AND next_attempt_at <= statement_timestamp()
 ORDER BY next_attempt_at LIMIT %(limit)s
"""
_STOPPED_STREAMS = f"""
SELECT DISTINCT i.source, i.aggregate_type, i.aggregate_id
  FROM inbox i JOIN inbox_parked p USING (consumer, source, aggregate_type, aggregate_id)
 WHERE i.consumer = %(consumer)s AND p.sequence = i.last_sequence + 1 AND p.reason <> 'forked'
   AND (%(reason)s::text IS NULL OR p.reason = %(reason)s)
   AND (%(event_types)s::text[] IS NULL OR p.type = ANY(%(event_types)s)) AND {_GIVEN_STREAM}
 ORDER BY i.source, i.aggregate_type, i.aggregate_id
"""  # noqa: S608

_MARK_DISCARDED = f"""
UPDATE inbox_parked SET reason = 'discarded', next_attempt_at = NULL WHERE {_EVENT}
"""  # noqa: S608
_RECORD_DISCARDED = f"""
INSERT INTO inbox_discarded (consumer, source, aggregate_type, aggregate_id, first_sequence,
                             last_sequence, event_id, reason, type, body, attempts, last_error,
                             last_traceback, parked_at, note)
SELECT consumer, source, aggregate_type, aggregate_id, sequence, sequence, event_id, reason, type,
       body, attempts, last_error, last_traceback, parked_at, %(note)s
  FROM inbox_parked WHERE {_EVENT}
"""  # noqa: S608
_RECORD_SKIPPED = """
INSERT INTO inbox_discarded (consumer, source, aggregate_type, aggregate_id, first_sequence,
                             last_sequence, reason, note)
VALUES (%(consumer)s, %(source)s, %(aggregate_type)s, %(aggregate_id)s, %(first)s, %(last)s,
        'missing', %(note)s)
"""

_LIST = f"""
SELECT {_COLUMNS}, NULL::bytea, NULL FROM inbox_parked
 WHERE {_CONSUMER}
   AND (%(reason)s::text IS NULL OR reason = %(reason)s)
   AND (%(aggregate_id)s::text IS NULL OR aggregate_id = %(aggregate_id)s)
   AND (%(event_id)s::uuid IS NULL OR event_id = %(event_id)s)
 ORDER BY parked_at, consumer, source, aggregate_type, aggregate_id, sequence, event_id
 LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608
_SHOW = f"""
SELECT {_COLUMNS}, body, last_traceback FROM inbox_parked
 WHERE {_STREAM} AND (%(sequence)s::bigint IS NULL OR sequence = %(sequence)s)
 ORDER BY sequence, parked_at
"""  # noqa: S608
_GAPS = """
SELECT i.source, i.aggregate_type, i.aggregate_id, i.last_sequence + 1, min(p.sequence) - 1,
       count(*), min(p.parked_at)
  FROM inbox i JOIN inbox_parked p USING (consumer, source, aggregate_type, aggregate_id)
 WHERE i.consumer = %(consumer)s AND p.sequence > i.last_sequence AND p.reason <> 'forked'
 GROUP BY i.source, i.aggregate_type, i.aggregate_id, i.last_sequence
HAVING min(p.sequence) > i.last_sequence + 1
 ORDER BY min(p.parked_at) LIMIT %(limit)s
"""
_PROGRESS = f"""
SELECT i.source, i.aggregate_type, i.aggregate_id, i.last_sequence, min(p.sequence)
  FROM inbox i LEFT JOIN inbox_parked p
       ON (p.consumer, p.source, p.aggregate_type, p.aggregate_id)
        = (i.consumer, i.source, i.aggregate_type, i.aggregate_id)
      AND p.sequence > i.last_sequence AND p.reason <> 'forked'
 WHERE i.consumer = %(consumer)s AND {_GIVEN_STREAM}
 GROUP BY i.source, i.aggregate_type, i.aggregate_id, i.last_sequence
"""  # noqa: S608
_BEYOND = """
SELECT source, aggregate_type, aggregate_id, p.sequence
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(after)s::bigint[])
       AS s(source, aggregate_type, aggregate_id, after)
  JOIN inbox_parked p USING (source, aggregate_type, aggregate_id)
 WHERE p.consumer = %(consumer)s AND p.sequence > s.after AND p.reason <> 'forked'
"""
_BY_REASON = f"""
SELECT consumer, reason, count(*) AS events, sum({_BYTES}) AS bytes,
       min(parked_at) AS oldest, min({_NEXT_ATTEMPT}) AS next_attempt
  FROM inbox_parked WHERE {_CONSUMER} GROUP BY consumer, reason ORDER BY consumer, reason
"""  # noqa: S608
_HEAVIEST = f"""
SELECT DISTINCT ON (consumer) consumer, source || '/' || aggregate_type || '/' || aggregate_id
         AS stream, count(*) AS events, sum({_BYTES}) AS bytes
  FROM inbox_parked WHERE {_CONSUMER} GROUP BY consumer, source, aggregate_type, aggregate_id
 ORDER BY consumer, bytes DESC
"""  # noqa: S608
_BY_TYPE = f"""
SELECT consumer, type, count(*) AS events, min(parked_at) AS oldest,
       count(*) FILTER (WHERE reason = 'unhandled') AS unhandled
  FROM inbox_parked WHERE {_CONSUMER} AND reason NOT IN ('forked', 'discarded')
 GROUP BY consumer, type ORDER BY consumer, type
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class ParkedEvents:
    """The parked events of one consumer. Without a consumer it lists and counts those of all."""

    connection: Connection
    consumer: str | None = None

    async def park(self, event: Envelope, reason: str) -> str | None:
        """Keep an event; returns for what reason, None if it was kept already.

        Where another event is parked at the same sequence, the reason is `forked`.
        """
        values = {
            **self._event(event.stream, event.sequence, event.id),
            "reason": str(reason),
            "type": event.type,
            "version": event.version,
            "time": event.time,
            "body": event.payload,
            "correlation_id": event.correlation_id,
            "causation_id": event.causation_id,
            "traceparent": event.traceparent,
        }
        row = await (await self.connection.execute(_PARK, values)).fetchone()
        return None if row is None else str(row[0])

    async def at(self, stream: Stream, sequence: int, *, due: bool = False) -> ParkedEvent | None:
        """The event that waits at this sequence, if any and, if asked for, only if it is due."""
        found = await self._rows(_WAITING_AT, stream, sequence=sequence, due=due)
        return _parked(*found[0]) if found else None

    async def remove_applied(self, event: Envelope) -> int:
        """The event has taken effect and waits no longer; returns how many rows that were."""
        key = self._event(event.stream, event.sequence, event.id)
        [(gone,)] = await (await self.connection.execute(_REMOVE_APPLIED, key)).fetchall()
        return int(gone)

    async def remove(self, event: ParkedEvent) -> None:
        """The event waits no longer."""
        key = self._event(event.stream, event.sequence, event.event_id)
        await self.connection.execute(_REMOVE, key)

    async def remove_through(self, stream: Stream, last: int) -> int:
        """Remove what is parked up to a sequence; returns how many events."""
        key = {**self._stream(stream), "last": last}
        return (await self.connection.execute(_REMOVE_THROUGH, key)).rowcount

    async def note_failure(self, event: Envelope, failure: Failure) -> None:
        """Record that an attempt failed, and when the next one is due."""
        traceback = failure.traceback
        values = {
            **self._event(event.stream, event.sequence, event.id),
            "reason": failure.reason,
            "counts": int(failure.counts),
            "error": storable(failure.error)[:MAX_ERROR],
            "traceback": None if traceback is None else storable(traceback),
            "delay": failure.delay,
        }
        await self.connection.execute(_NOTE_FAILURE, values)

    async def make_due(self, stream: Stream, sequence: int) -> None:
        """Let the event at this sequence be tried now; its attempts begin again."""
        key = {**self._stream(stream), "sequence": sequence}
        await self.connection.execute(_MAKE_DUE, key)

    async def redrive_next(self, streams: Sequence[Stream]) -> int:
        """Let the next event of each of these streams be tried before all others that are due.

        Its attempts begin again. Returns in how many streams there is one.
        """
        values = {"consumer": self.consumer, **columns(streams)}
        return (await self.connection.execute(_REDRIVE_NEXT, values)).rowcount

    async def due_streams(self, *, limit: int = 100) -> list[Stream]:
        """Streams with an event that is due: redriven ones, then the longest due."""
        found = await self._rows(_DUE_STREAMS, limit=limit)
        return list(dict.fromkeys(Stream(*row) for row in found))

    async def stopped_streams(
        self, stream: Stream | None, *, reason: str | None, types: Sequence[str] | None
    ) -> list[Stream]:
        """Streams whose next event is parked, for this reason or of one of these types if given."""
        found = await self._rows(_STOPPED_STREAMS, stream, reason=reason, event_types=types)
        return [Stream(*row) for row in found]

    async def pass_discarded(self, stream: Stream, position: Position) -> None:
        """Move a locked position past all discarded events that are next."""
        while position.parked:
            waiting = await self.at(stream, position.last_sequence + 1)
            if waiting is None or not waiting.is_discarded:
                return
            await self.remove(waiting)
            position.parked -= 1
            position.blocked = False
            position.advance(waiting.sequence, waiting.event_id)

    async def mark_discarded(self, event: ParkedEvent) -> None:
        """Let the stream pass the event when it comes to it, as if it had taken effect."""
        key = self._event(event.stream, event.sequence, event.event_id)
        await self.connection.execute(_MARK_DISCARDED, key)

    async def record_discarded(self, event: ParkedEvent, note: str) -> None:
        """Keep the whole event in `inbox_discarded`."""
        logger.warning("%s discards %s at %d", self.consumer, event.stream, event.sequence)
        key = self._event(event.stream, event.sequence, event.event_id)
        await self.connection.execute(_RECORD_DISCARDED, {**key, "note": note})

    async def record_skipped(self, stream: Stream, first: int, last: int, note: str) -> None:
        """Keep on record that the consumer no longer waits for these sequences."""
        logger.warning("%s skips %s from %d to %d", self.consumer, stream, first, last)
        values = {**self._stream(stream), "first": first, "last": last, "note": note}
        await self.connection.execute(_RECORD_SKIPPED, values)

    async def find(
        self,
        *,
        reason: str | None = None,
        aggregate_id: str | None = None,
        event_id: UUID | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[ParkedEvent]:
        """Parked events without their bodies, the longest waiting first."""
        chosen: dict[str, object] = {"aggregate_id": aggregate_id, "event_id": event_id}
        page: dict[str, object] = {"limit": limit, "offset": offset}
        found = await self._rows(_LIST, None, reason=reason, **chosen, **page)
        return [_parked(*row) for row in found]

    async def show(self, stream: Stream, sequence: int | None = None) -> list[ParkedEvent]:
        """The parked events of a stream in order, with bodies; two at a sequence that forked."""
        return [_parked(*row) for row in await self._rows(_SHOW, stream, sequence=sequence)]

    async def gaps(self, *, limit: int = 100) -> list[Gap]:
        """Streams that wait for events which have not arrived, the longest waiting first."""
        return [
            Gap(Stream(source, kind, id_), *rest)
            for source, kind, id_, *rest in await self._rows(_GAPS, limit=limit)
        ]

    async def progress(self, stream: Stream | None = None) -> dict[Stream, tuple[int, int | None]]:
        """How far each stream, or this one, has come, and the first sequence parked beyond."""
        found = await self._rows(_PROGRESS, stream)
        return {Stream(*key): (last, first) for *key, last, first in found}

    async def beyond(self, after: Mapping[Stream, int]) -> list[tuple[Stream, int]]:
        """All sequences that are parked beyond the given one of each of these streams."""
        values = {"consumer": self.consumer, **columns(after), "after": list(after.values())}
        cursor = await self.connection.execute(_BEYOND, values, prepare=False)
        return [(Stream(*key), sequence) for *key, sequence in await cursor.fetchall()]

    async def counts(self) -> list[ParkedCount]:
        """How many events wait, by consumer and reason."""
        return await self._fetch(ParkedCount, _BY_REASON)

    async def heaviest(self) -> list[ParkedStream]:
        """The stream that has the most bytes parked, of each consumer."""
        return await self._fetch(ParkedStream, _HEAVIEST)

    async def types(self) -> list[ParkedType]:
        """The types of what waits, by consumer."""
        return await self._fetch(ParkedType, _BY_TYPE)

    async def _rows(
        self, query: str, stream: Stream | None = None, **values: object
    ) -> list[tuple[Any, ...]]:
        cursor = await self.connection.execute(query, {**self._stream(stream), **values})
        return await cursor.fetchall()

    async def _fetch(self, kind: type[Row], query: str) -> list[Row]:
        async with self.connection.cursor(row_factory=class_row(kind)) as cursor:
            await cursor.execute(query, {"consumer": self.consumer}, prepare=False)
            return await cursor.fetchall()

    def _stream(self, stream: Stream | None) -> dict[str, object]:
        return {
            "consumer": self.consumer,
            "source": stream and stream.source,
            "aggregate_type": stream and stream.aggregate_type,
            "aggregate_id": stream and stream.aggregate_id,
        }

    def _event(self, stream: Stream, sequence: int, event_id: UUID) -> dict[str, object]:
        return {**self._stream(stream), "sequence": sequence, "event_id": event_id}


def _parked(consumer: str, source: str, kind: str, id_: str, *rest: Any) -> ParkedEvent:
    return ParkedEvent(consumer, Stream(source, kind, id_), *rest)

"""Events kept for later: those beyond a gap, those that failed, and those behind them.

Invariant: what is next in a stream that is not blocked has a time at which it is due, or a delivery
that is not acked yet. Without one of the two it would wait for ever.

One file, because together with `parked_queries` (what operators ask) and `edits` (another body) it
holds all SQL on `inbox_parked` and `inbox_discarded`: this one has what is done under the lock of a
stream.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from outbox.event import Envelope, Stream
from outbox.fingerprints import Cause
from outbox.inbox.applied_times import STORE_PARKED
from outbox.inbox.gates import Closed
from outbox.inbox.parked_rows import Failure, ParkedEvent, parked_event
from outbox.inbox.parked_selection import EVERYTHING, SELECTED, ParkedSelection
from outbox.inbox.position import Connection, Position, columns
from outbox.inbox.whole_keys import is_found, is_given, position_of, stream_is
from outbox.tracebacks import storable

logger = logging.getLogger(__name__)

MAX_ERROR = 1_000
FAILURES_KEPT = 20
"""So many failed attempts of an event are kept: the first one and the last ones."""

AT_ONCE, BYTES_AT_ONCE = 200, 1024 * 1024
"""At most so many events that wait in a stream are read at once, or one that is larger."""

_REDRIVEN = "timestamptz '-infinity'"
"""When an event is due that a person redrives: before what is retried by itself."""
NEXT_ATTEMPT = """
CASE WHEN isfinite(next_attempt_at) THEN next_attempt_at
     WHEN next_attempt_at IS NOT NULL THEN clock_timestamp() END
"""
"""The next attempt as a person wants to see it: a redriven event is due now."""

STREAM = """
consumer = %(consumer)s AND source = %(source)s AND aggregate_type = %(aggregate_type)s
AND aggregate_id = %(aggregate_id)s
"""
_AT = f"{STREAM} AND sequence = %(sequence)s"
_EVENT = f"{_AT} AND event_id = %(event_id)s"
COLUMNS = f"""
consumer, source, aggregate_type, aggregate_id, sequence, event_id, reason, type, version, time,
attempts, {NEXT_ATTEMPT}, retried_until, last_error, parked_at, correlation_id, causation_id,
traceparent, length(body), cause, fingerprint
"""
"""What `parked_event` begins with; body and traceback follow."""

# Only one event can be right at its sequence: the first that came.
_PARK = f"""
INSERT INTO inbox_parked (consumer, source, aggregate_type, aggregate_id, sequence, event_id,
                          reason, type, version, time, body, correlation_id, causation_id,
                          traceparent)
SELECT %(consumer)s, e.source, e.aggregate_type, e.aggregate_id, e.sequence, e.event_id,
       CASE WHEN (SELECT true FROM inbox_parked p
                   WHERE {stream_is("p", "e")} AND p.sequence = e.sequence LIMIT 1)
            THEN 'forked' ELSE e.reason END,
       e.type, e.version, e.time, e.body, e.correlation_id, e.causation_id, e.traceparent
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(sequences)s::bigint[],
              %(event_ids)s::uuid[], %(reasons)s::text[], %(event_types)s::text[],
              %(versions)s::smallint[], %(times)s::timestamptz[], %(bodies)s::bytea[],
              %(correlation_ids)s::text[], %(causation_ids)s::text[], %(traceparents)s::text[])
    AS e(source, aggregate_type, aggregate_id, sequence, event_id, reason, type, version, time,
         body, correlation_id, causation_id, traceparent)
ON CONFLICT DO NOTHING
RETURNING source, aggregate_type, aggregate_id, reason
"""  # noqa: S608
_WAITING_AT = f"""
SELECT {COLUMNS}, body, NULL FROM inbox_parked
 WHERE {_AT} AND reason <> 'forked'
   AND (NOT %(due)s OR next_attempt_at <= clock_timestamp())
 ORDER BY parked_at LIMIT 1
"""  # noqa: S608
_WAITING = f"""
SELECT {COLUMNS}, body, NULL
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(after)s::bigint[])
         AS s(s, t, i, after)
 CROSS JOIN LATERAL (
   SELECT n.*, sum(octet_length(n.body)) OVER (ORDER BY n.sequence) - octet_length(n.body) AS before
     FROM (SELECT * FROM inbox_parked p
            WHERE p.consumer = %(consumer)s AND p.source = s.s AND p.aggregate_type = s.t
              AND p.aggregate_id = s.i AND p.sequence > s.after AND p.reason <> 'forked'
              AND (NOT %(if_next)s OR EXISTS (
                    SELECT FROM inbox_parked x
                     WHERE (x.consumer, x.source, x.aggregate_type, x.aggregate_id, x.sequence)
                         = (%(consumer)s, s.s, s.t, s.i, s.after + 1)))
            ORDER BY p.sequence LIMIT {AT_ONCE}) n) w
 WHERE before < {BYTES_AT_ONCE}
 ORDER BY sequence
"""  # noqa: S608
_REMOVE_ALL = f"""
WITH removed AS (
  DELETE FROM inbox_parked p
   WHERE {is_given("p", sequence="%(sequences)s::bigint[]", event_id="%(event_ids)s::uuid[]")}
  RETURNING p.*
), stored AS ({STORE_PARKED})
SELECT source, aggregate_type, aggregate_id FROM removed
"""  # noqa: S608
_REMOVE = f"DELETE FROM inbox_parked WHERE {_EVENT}"  # noqa: S608
_REMOVE_THROUGH = f"DELETE FROM inbox_parked WHERE {STREAM} AND sequence <= %(last)s"  # noqa: S608


def _without_second(array: str) -> str:
    """Room for one more failure: the first one is kept, and the last ones."""
    full = f"cardinality({array}) >= {FAILURES_KEPT}"
    return f"CASE WHEN {full} THEN {array}[1:1] || {array}[3:] ELSE {array} END"


_SINCE = """
coalesce(failing_since, CASE WHEN %(counts)s = 1 THEN statement_timestamp() END)
"""
_UNTIL = f"{_SINCE} + make_interval(secs => %(deadline)s)"
_DUE = "statement_timestamp() + make_interval(secs => %(delay)s)"
_NOTE_FAILURE = f"""
UPDATE inbox_parked
   SET reason = %(reason)s, attempts = attempts + %(counts)s, last_error = %(error)s,
       last_traceback = %(traceback)s, cause = %(cause)s, fingerprint = %(fingerprint)s,
       failed_at = {_without_second("failed_at")} || clock_timestamp(),
       failed_with = {_without_second("failed_with")} || %(class)s::text,
       failing_since = {_SINCE}, retried_until = {_UNTIL},
       next_attempt_at = CASE WHEN {_UNTIL} <= statement_timestamp() THEN NULL
                              ELSE least({_DUE}, {_UNTIL}) END
 WHERE {_EVENT}
"""  # noqa: S608
# The last error of an event that has failed before says more than that it waits now.
_POSTPONE = f"""
UPDATE inbox_parked
   SET reason = %(reason)s, next_attempt_at = NULL,
       last_error = CASE WHEN attempts = 0 THEN %(error)s ELSE last_error END
 WHERE {_EVENT}
"""  # noqa: S608
# Without the locks of their streams: rows in use elsewhere are left for the next call.
_RESUME = """
UPDATE inbox_parked p SET next_attempt_at = clock_timestamp()
  FROM (SELECT consumer, source, aggregate_type, aggregate_id, sequence, event_id
          FROM inbox_parked
         WHERE consumer = %(consumer)s AND reason = %(reason)s AND next_attempt_at IS NULL
           AND type <> ALL(%(closed)s)
         LIMIT %(limit)s FOR UPDATE SKIP LOCKED) gated
 WHERE (p.consumer, p.source, p.aggregate_type, p.aggregate_id, p.sequence, p.event_id)
     = (gated.consumer, gated.source, gated.aggregate_type, gated.aggregate_id, gated.sequence,
        gated.event_id)
"""
_MAKE_DUE = f"""
UPDATE inbox_parked
   SET next_attempt_at = clock_timestamp(), attempts = 0, failing_since = NULL, retried_until = NULL
 WHERE {_AT} AND reason <> 'forked'
"""  # noqa: S608
_REDRIVE_NEXT = f"""
WITH next AS MATERIALIZED (
  SELECT s.*, i.last_sequence + 1 AS sequence
    FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[])
           AS s(source, aggregate_type, aggregate_id)
   CROSS JOIN {position_of("s")} i
)
UPDATE inbox_parked p
   SET next_attempt_at = {_REDRIVEN}, attempts = 0, failing_since = NULL, retried_until = NULL
 WHERE {is_found("p", "next", "sequence")} AND p.reason <> 'forked' AND {SELECTED}
"""  # noqa: S608
# In the order of the index inbox_parked_due, so that no stream waits for those with a lower name.
_DUE_STREAMS = """
SELECT source, aggregate_type, aggregate_id
  FROM inbox_parked
 WHERE consumer = %(consumer)s AND next_attempt_at {when}
 ORDER BY next_attempt_at LIMIT %(limit)s
"""
_REDRIVEN_STREAMS = _DUE_STREAMS.format(when=f"= {_REDRIVEN}")
_RETRIED_STREAMS = _DUE_STREAMS.format(
    when=f"> {_REDRIVEN} AND next_attempt_at <= statement_timestamp()"
)
IS_DUE = """
EXISTS (SELECT FROM inbox_parked p
         WHERE (p.consumer, p.source, p.aggregate_type, p.aggregate_id)
             = (%(consumer)s, s.source, s.aggregate_type, s.aggregate_id)
           AND p.next_attempt_at <= clock_timestamp())
"""
"""Whether an event of the stream `s` is due."""

_MARK_DISCARDED = f"""
UPDATE inbox_parked SET reason = 'discarded', next_attempt_at = NULL WHERE {_EVENT}
"""  # noqa: S608
_RECORD_DISCARDED = f"""
INSERT INTO inbox_discarded (consumer, source, aggregate_type, aggregate_id, first_sequence,
                             last_sequence, event_id, reason, type, body, attempts, last_error,
                             last_traceback, cause, fingerprint, failed_at, failed_with,
                             parked_at, note)
SELECT consumer, source, aggregate_type, aggregate_id, sequence, sequence, event_id, reason, type,
       body, attempts, last_error, last_traceback, cause, fingerprint, failed_at, failed_with,
       parked_at, %(note)s
  FROM inbox_parked WHERE {_EVENT}
"""  # noqa: S608
_RECORD_SKIPPED = """
INSERT INTO inbox_discarded (consumer, source, aggregate_type, aggregate_id, first_sequence,
                             last_sequence, reason, note)
VALUES (%(consumer)s, %(source)s, %(aggregate_type)s, %(aggregate_id)s, %(first)s, %(last)s,
        'missing', %(note)s)
"""


@dataclass(frozen=True, slots=True)
class ParkedEvents:
    """The parked events of one consumer, whose streams the transaction has locked."""

    connection: Connection
    consumer: str

    async def park(self, events: Sequence[tuple[Envelope, str]]) -> list[tuple[Stream, str]]:
        """Keep events for these reasons; returns streams and reasons of those not kept already.

        Where another event is parked at the same sequence, the reason is `forked`.
        """
        values = {
            **self._events([event for event, _ in events]),
            "reasons": [str(reason) for _, reason in events],
            "event_types": [event.type for event, _ in events],
            "versions": [event.version for event, _ in events],
            "times": [event.time for event, _ in events],
            "bodies": [event.payload for event, _ in events],
            "correlation_ids": [event.correlation_id for event, _ in events],
            "causation_ids": [event.causation_id for event, _ in events],
            "traceparents": [event.traceparent for event, _ in events],
        }
        cursor = await self.connection.execute(_PARK, values)
        return [(Stream(*key), reason) for *key, reason in await cursor.fetchall()]

    async def waiting(
        self, after: Mapping[Stream, int], *, if_next: bool = False
    ) -> dict[Stream, list[ParkedEvent]]:
        """What waits beyond a sequence in each of these streams, in order; not all of very much.

        With `if_next` only where the event that follows the sequence is there.
        """
        found: dict[Stream, list[ParkedEvent]] = {}
        values = {"consumer": self.consumer, "if_next": if_next, "after": [*after.values()]}
        cursor = await self.connection.execute(_WAITING, {**values, **columns(after)})
        for row in await cursor.fetchall():
            event = parked_event(*row)
            found.setdefault(event.stream, []).append(event)
        return found

    async def at(self, stream: Stream, sequence: int, *, due: bool = False) -> ParkedEvent | None:
        """The event that waits at this sequence, if any and, if asked for, only if it is due."""
        found = await self._rows(_WAITING_AT, stream, sequence=sequence, due=due)
        return parked_event(*found[0]) if found else None

    async def remove_all(self, events: Sequence[Envelope]) -> list[Stream]:
        """These events have taken effect; returns the stream of each one that was parked."""
        cursor = await self.connection.execute(_REMOVE_ALL, self._events(events))
        return [Stream(*key) for key in await cursor.fetchall()]

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
        traceback, cause = failure.traceback, failure.cause or Cause(failure.reason)
        values = {
            **self._event(event.stream, event.sequence, event.id),
            "reason": failure.reason,
            "counts": int(failure.counts),
            "error": storable(failure.error)[:MAX_ERROR],
            "traceback": None if traceback is None else storable(traceback),
            "cause": storable(str(cause)),
            "fingerprint": cause.fingerprint(event.type),
            "class": storable(cause.error),
            "delay": failure.delay,
            "deadline": failure.deadline,
        }
        await self.connection.execute(_NOTE_FAILURE, values)

    async def postpone(self, event: Envelope, closed: Closed) -> None:
        """A gate is closed for this parked event: no attempt is made until it opens."""
        key = self._event(event.stream, event.sequence, event.id)
        values = {**key, "reason": closed.reason, "error": storable(closed.says)[:MAX_ERROR]}
        await self.connection.execute(_POSTPONE, values)

    async def resume(self, reason: str, *, closed: Sequence[str], limit: int) -> int:
        """Let at most so many postponed events be tried whose types are not closed any more.

        Their attempts go on from where they were. Returns how many.
        """
        values = {
            "consumer": self.consumer,
            "reason": reason,
            "closed": list(closed),
            "limit": limit,
        }
        return (await self.connection.execute(_RESUME, values)).rowcount

    async def make_due(self, stream: Stream, sequence: int) -> None:
        """Let the event at this sequence be tried now; its attempts begin again."""
        key = {**self._stream(stream), "sequence": sequence}
        await self.connection.execute(_MAKE_DUE, key)

    async def redrive_next(
        self, streams: Sequence[Stream], selection: ParkedSelection = EVERYTHING
    ) -> int:
        """Let the next event of each of these streams be tried before those that are retried.

        Its attempts begin again. Returns in how many streams there is one that is selected.
        """
        values = {"consumer": self.consumer, **columns(streams), **selection.parameters()}
        return (await self.connection.execute(_REDRIVE_NEXT, values)).rowcount

    async def due_streams(self, *, limit: int = 100) -> list[Stream]:
        """Streams with an event that is due: redriven ones, then the longest due.

        Half of them are of either kind if there are enough: a redrive of many streams does not keep
        the retries of others waiting.
        """
        redriven = await self._rows(_REDRIVEN_STREAMS, limit=limit)
        retried = await self._rows(_RETRIED_STREAMS, limit=limit)
        first = redriven[: max(limit // 2, limit - len(retried))]
        chosen = [*first, *retried[: limit - len(first)]]
        return list(dict.fromkeys(Stream(*row) for row in chosen))

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

    async def mark_discarded(self, events: Sequence[ParkedEvent]) -> None:
        """Let a stream pass these events when it comes to them, as if they had taken effect."""
        await self._for_each(_MARK_DISCARDED, events)

    async def record_discarded(self, events: Sequence[ParkedEvent], note: str) -> None:
        """Keep these events whole in `inbox_discarded`."""
        for event in events[:1]:
            more = f" and {len(events) - 1} more" if len(events) > 1 else ""
            where = f"{event.stream} at {event.sequence}{more}"
            logger.warning("%s discards %s", self.consumer, where)
        await self._for_each(_RECORD_DISCARDED, events, note=note)

    async def record_given_up(self, event: Envelope, note: str) -> None:
        """Keep an event whole in `inbox_discarded` that the application's rules give up."""
        key = self._event(event.stream, event.sequence, event.id)
        await self.connection.execute(_RECORD_DISCARDED, {**key, "note": note})

    async def record_skipped(self, stream: Stream, first: int, last: int, note: str) -> None:
        """Keep on record that the consumer no longer waits for these sequences."""
        logger.warning("%s skips %s from %d to %d", self.consumer, stream, first, last)
        values = {**self._stream(stream), "first": first, "last": last, "note": note}
        await self.connection.execute(_RECORD_SKIPPED, values)

    async def _for_each(self, query: str, events: Sequence[ParkedEvent], **values: object) -> None:
        """One statement for each event, sent together."""
        keys = (self._event(event.stream, event.sequence, event.event_id) for event in events)
        async with self.connection.cursor() as cursor:
            await cursor.executemany(query, [{**key, **values} for key in keys])

    async def _rows(
        self, query: str, stream: Stream | None = None, **values: object
    ) -> list[tuple[Any, ...]]:
        cursor = await self.connection.execute(query, {**self._stream(stream), **values})
        return await cursor.fetchall()

    def _stream(self, stream: Stream | None) -> dict[str, object]:
        return {
            "consumer": self.consumer,
            "source": stream and stream.source,
            "aggregate_type": stream and stream.aggregate_type,
            "aggregate_id": stream and stream.aggregate_id,
        }

    def _events(self, events: Sequence[Envelope]) -> dict[str, object]:
        return {
            "consumer": self.consumer,
            **columns(event.stream for event in events),
            "sequences": [event.sequence for event in events],
            "event_ids": [event.id for event in events],
        }

    def _event(self, stream: Stream, sequence: int, event_id: UUID) -> dict[str, object]:
        return {**self._stream(stream), "sequence": sequence, "event_id": event_id}

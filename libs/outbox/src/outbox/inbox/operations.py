"""What a person can do about parked events: look, redrive, discard, skip what never arrives.

Invariant: whatever changes a stream happens under the lock of its row, as with the consumer
itself, and leaves the order as it was. Each function is one transaction of its own on the
connection given (`redrive` of many several), or part of the one that is open there; consumers hear
of it when it commits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import psycopg

from outbox.errors import NothingMissing, NotParked
from outbox.event import Stream
from outbox.inbox import discarding, parked_events, positions
from outbox.inbox.listing import Gap, Parked, list_gaps, list_parked, progress, show

__all__ = [
    "Gap",
    "Parked",
    "discard",
    "list_gaps",
    "list_parked",
    "progress",
    "redrive",
    "show",
    "skip",
]

Connection = psycopg.AsyncConnection[Any]

CHUNK = 1_000
"""So many streams at most are locked together: consumers that meet them wait."""

REDRIVE = "inbox_redrive"
"""The channel on which consumers hear that something is to be tried now; says for whom."""

_STREAMS = """
SELECT DISTINCT i.source, i.aggregate_type, i.aggregate_id
  FROM inbox i JOIN inbox_parked p USING (consumer, source, aggregate_type, aggregate_id)
 WHERE i.consumer = %(consumer)s AND p.sequence = i.last_sequence + 1 AND p.reason <> 'forked'
   AND (%(reason)s::text IS NULL OR p.reason = %(reason)s)
   AND (%(event_types)s::text[] IS NULL OR p.type = ANY(%(event_types)s))
   AND (%(source)s::text IS NULL OR (i.source, i.aggregate_type, i.aggregate_id)
        = (%(source)s, %(aggregate_type)s, %(aggregate_id)s))
 ORDER BY i.source, i.aggregate_type, i.aggregate_id
"""

_NEXT = """
  FROM inbox i JOIN unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[])
       AS s(source, aggregate_type, aggregate_id) USING (source, aggregate_type, aggregate_id)
 WHERE i.consumer = %(consumer)s
"""
_FORGET = f"""
DELETE FROM inbox_attempts a USING (SELECT i.*{_NEXT}) i
 WHERE (a.consumer, a.source, a.aggregate_type, a.aggregate_id, a.sequence)
     = (i.consumer, i.source, i.aggregate_type, i.aggregate_id, i.last_sequence + 1)
"""  # noqa: S608
_MAKE_DUE = f"""
UPDATE inbox_parked p SET next_attempt_at = {parked_events.FIRST}, attempts = 0
  FROM (SELECT i.*{_NEXT}) i
 WHERE (p.consumer, p.source, p.aggregate_type, p.aggregate_id, p.sequence)
     = (i.consumer, i.source, i.aggregate_type, i.aggregate_id, i.last_sequence + 1)
   AND p.reason <> 'forked'
RETURNING 1
"""  # noqa: S608

_NOTIFY = "SELECT pg_notify(%s, %s)"


async def redrive(
    connection: Connection,
    consumer: str,
    *,
    stream: Stream | None = None,
    reason: str | None = None,
    types: Sequence[str] | None = None,
) -> int:
    """Let the first event of each stopped stream be tried at once, as if it were the first time.

    Of one stream, of those whose first event is parked for a reason or has one of these types, or
    of all. What waits behind follows in order. Works after the last attempt too, and comes before
    all that is retried by itself. A thousand streams are a transaction. Returns for how many.
    """
    async with connection.transaction():
        found = await connection.execute(
            _STREAMS,
            {"consumer": consumer, "reason": reason, "event_types": types, **_filter(stream)},
        )
        streams = [Stream(*row) for row in await found.fetchall()]
    due = 0
    for start in range(0, len(streams), CHUNK):
        chunk = streams[start : start + CHUNK]
        async with connection.transaction():
            await positions.lock(connection, consumer, chunk)
            due += await _make_due(connection, consumer, chunk)
            await connection.execute(_NOTIFY, [REDRIVE, consumer])
    return due


async def discard(
    connection: Connection,
    consumer: str,
    stream: Stream,
    sequence: int,
    *,
    event_id: object | None = None,
    note: str = "",
) -> Parked:
    """Do without a parked event: it never takes effect, and those behind it flow.

    The stream moves past it in the same transaction, or, where earlier ones are still waited
    for, as soon as those are through. The whole event is kept in `inbox_discarded`. `event_id`
    chooses where two are parked at one place. Raises `NotParked`.
    """
    async with connection.transaction():
        locked = await positions.lock(connection, consumer, {stream})
        position = locked[stream]
        event = _one_of(await show(connection, consumer, stream, sequence), stream, event_id)
        await discarding.record(connection, event, note)
        if event.reason == parked_events.FORKED or sequence <= position.last_sequence:
            await parked_events.remove(connection, consumer, stream, sequence, event.event_id)
            position.parked -= 1
        else:
            await discarding.entomb(connection, event)
            await discarding.pass_tombstones(connection, consumer, stream, position)
        await _let_flow(connection, consumer, stream, locked)
    return event


async def skip(
    connection: Connection,
    consumer: str,
    stream: Stream,
    *,
    through: int | None = None,
    tail: bool = False,
    note: str = "",
) -> tuple[int, int]:
    """Do without events that never arrived, and let those beyond them flow.

    Without `through`, exactly up to the first event that is held. Should a skipped event arrive
    after all, it is a duplicate: so where nothing is held, what is skipped may be the future, and
    `tail` has to say that this is meant. Returns the first and the last sequence skipped. Raises
    `NothingMissing` if there is no gap there, or an event in it is parked: discard that one.
    """
    async with connection.transaction():
        locked = await positions.lock(connection, consumer, {stream})
        position = locked[stream]
        first = position.last_sequence + 1
        held = await discarding.first_held(connection, consumer, stream, position.last_sequence)
        last = through if through is not None else (held or first) - 1
        if last < first or (held <= last if held is not None else not tail):
            raise NothingMissing(stream, first, last, held)
        await discarding.record_missing(connection, consumer, stream, (first, last), note)
        position.last_sequence, position.last_event_id = last, None
        await discarding.pass_tombstones(connection, consumer, stream, position)
        await _let_flow(connection, consumer, stream, locked)
    return first, last


async def _let_flow(
    connection: Connection, consumer: str, stream: Stream, locked: positions.Locked
) -> None:
    await positions.store(connection, consumer, locked)
    position = locked[stream]
    if position.parked and not position.blocked:
        await _make_due(connection, consumer, [stream])
    await connection.execute(_NOTIFY, [REDRIVE, consumer])


async def _make_due(connection: Connection, consumer: str, streams: Sequence[Stream]) -> int:
    """What is next in these locked streams is tried at once; returns in how many something is."""
    parameters = {"consumer": consumer, **positions.columns(streams)}
    await connection.execute(_FORGET, parameters)
    cursor = await connection.execute(_MAKE_DUE, parameters)
    return len(await cursor.fetchall())


def _filter(stream: Stream | None) -> Mapping[str, str | None]:
    names = ("source", "aggregate_type", "aggregate_id")
    return {name: None if stream is None else getattr(stream, name) for name in names}


def _one_of(found: list[Parked], stream: Stream, event_id: object | None) -> Parked:
    matching = [event for event in found if event_id in (None, event.event_id)]
    if len(matching) != 1:
        raise NotParked(stream, [event.event_id for event in found])
    return matching[0]

"""The life of one event, as far as the databases know it.

The producer's log says when it was written and confirmed. A consumer's inbox knows its place,
not its time; what the event caused there, in the same transaction, has one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from outbox.inbox.parked_events import NEXT_ATTEMPT
from outbox.operations.database import Connection, fetch, has_table

_EVENT = """
SELECT id, event_id, source, aggregate_type, aggregate_id, sequence, type, version, created_at,
       published_at, attempts, last_error, parked_at, correlation_id, causation_id, traceparent
  FROM outbox WHERE event_id = %(id)s AND created_at >= %(since)s AND created_at < %(until)s
"""
_SCHEDULED = """
SELECT key, due_at, source, aggregate_type, aggregate_id, type
  FROM outbox_scheduled WHERE event_id = %(id)s
"""
_CAUSED = """
SELECT event_id, type, created_at, published_at FROM outbox
 WHERE causation_id = %(id)s::text AND created_at >= %(since)s ORDER BY id LIMIT 20
"""
_POSITIONS = """
SELECT consumer, last_sequence, last_event_id, blocked FROM inbox
 WHERE source = %(source)s AND aggregate_type = %(kind)s AND aggregate_id = %(aggregate)s
 ORDER BY consumer
"""
_PARKED = f"""
SELECT consumer, source, aggregate_type, aggregate_id, sequence, type, time, reason, attempts,
       {NEXT_ATTEMPT} AS next_attempt_at, last_error, parked_at
  FROM inbox_parked WHERE event_id = %(id)s ORDER BY consumer
"""  # noqa: S608
# Around the time that a UUIDv7 carries (RFC 9562, section 5.7): a day's partition, not all.
_NEAR_BEFORE, _NEAR_AFTER = timedelta(hours=1), timedelta(days=1)
_EVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Written:
    """The event in its source's log."""

    id: int
    event_id: UUID
    source: str
    aggregate_type: str
    aggregate_id: str
    sequence: int
    type: str
    version: int
    created_at: datetime
    published_at: datetime | None
    attempts: int
    last_error: str | None
    parked_at: datetime | None
    correlation_id: str
    causation_id: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class Awaited:
    """The event, not yet due."""

    key: str
    due_at: datetime
    source: str
    aggregate_type: str
    aggregate_id: str
    type: str


@dataclass(frozen=True, slots=True)
class Caused:
    """An event that a handler emitted: committed together with this one's effect."""

    event_id: UUID
    type: str
    created_at: datetime
    published_at: datetime | None


@dataclass(frozen=True, slots=True)
class Place:
    """How far a consumer has come in the event's stream."""

    consumer: str
    last_sequence: int
    last_event_id: UUID | None
    blocked: bool


@dataclass(frozen=True, slots=True)
class Waiting:
    """The event as a consumer has parked it."""

    consumer: str
    source: str
    aggregate_type: str
    aggregate_id: str
    sequence: int
    type: str
    time: datetime
    reason: str
    attempts: int
    next_attempt_at: datetime | None
    last_error: str | None
    parked_at: datetime


@dataclass(frozen=True, slots=True)
class Seen:
    """What one database knows."""

    written: Written | None
    awaited: Awaited | None
    caused: list[Caused]
    places: list[Place]
    parked: list[Waiting]


async def look_up(connections: Sequence[Connection], event_id: UUID) -> list[Seen]:
    """Ask each database, in the order given. The stream is known once any of them has told it."""
    written = [await _written(connection, event_id) for connection in connections]
    parked = [await _parked(connection, event_id) for connection in connections]
    known: list[Written | Waiting] = [entry for entry in written if entry]
    known += [entry for entries in parked for entry in entries]
    return [
        Seen(
            written=written[n],
            awaited=await _awaited(connection, event_id),
            caused=await _caused(connection, event_id),
            places=await _places(connection, known[0]) if known else [],
            parked=parked[n],
        )
        for n, connection in enumerate(connections)
    ]


async def _written(connection: Connection, event_id: UUID) -> Written | None:
    if not await has_table(connection, "outbox"):
        return None
    for since, until in (_near(event_id), _EVER):
        found = await fetch(
            connection, Written, _EVENT, {"id": event_id, "since": since, "until": until}
        )
        if found:
            return found[0]
    return None


def _near(event_id: UUID) -> tuple[datetime, datetime]:
    drawn = _drawn(event_id)
    return (drawn - _NEAR_BEFORE, drawn + _NEAR_AFTER) if drawn else _EVER


def _drawn(event_id: UUID) -> datetime | None:
    if event_id.version != 7:
        return None
    drawn = datetime.fromtimestamp((event_id.int >> 80) / 1000, UTC)
    return drawn if drawn.year < 9000 else None


async def _awaited(connection: Connection, event_id: UUID) -> Awaited | None:
    if not await has_table(connection, "outbox_scheduled"):
        return None
    found = await fetch(connection, Awaited, _SCHEDULED, {"id": event_id})
    return found[0] if found else None


async def _caused(connection: Connection, event_id: UUID) -> list[Caused]:
    if not await has_table(connection, "outbox"):
        return []
    since, _ = _near(event_id)
    return await fetch(connection, Caused, _CAUSED, {"id": event_id, "since": since})


async def _places(connection: Connection, event: Written | Waiting) -> list[Place]:
    if not await has_table(connection, "inbox"):
        return []
    stream = {
        "source": event.source,
        "kind": event.aggregate_type,
        "aggregate": event.aggregate_id,
    }
    return await fetch(connection, Place, _POSITIONS, stream)


async def _parked(connection: Connection, event_id: UUID) -> list[Waiting]:
    if not await has_table(connection, "inbox_parked"):
        return []
    return await fetch(connection, Waiting, _PARKED, {"id": event_id})

"""The life of one event as steps: scheduled, written, published, confirmed, delivered, applied.

The producer's outbox table says when the event was written and confirmed. A consumer's inbox
knows its position, not the time. What the event caused was committed together with its effect, so
that has a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from outbox.event import Stream
from outbox.inbox import position as inbox_sql
from outbox.inbox.parked_queries import ParkedQueries
from outbox.inbox.parked_rows import ParkedEvent
from outbox.inbox.parked_selection import ParkedSelection
from outbox.log import operator_queries as outbox_sql
from outbox.log.row import StoredEvent
from outbox.operations.database import Connection, fetch, has_table

# Around the time that a UUIDv7 carries (RFC 9562, section 5.7): one day's partition, not all.
_NEAR_BEFORE, _NEAR_AFTER = timedelta(hours=1), timedelta(days=1)
_EVER = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Step:
    """`at` is None where the time is not known; `done` says whether the step has happened."""

    step: str
    done: bool
    at: datetime | None
    database: str
    detail: str


@dataclass(frozen=True, slots=True)
class ScheduledEvent:
    """The event before it is due."""

    key: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class CausedEvent:
    """An event that a handler emitted, committed together with this one's effect."""

    event_id: UUID
    type: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ConsumerPosition:
    """How far a consumer has come in the event's stream."""

    consumer: str
    last_sequence: int
    last_event_id: UUID | None
    blocked: bool
    parked: int


@dataclass(frozen=True, slots=True)
class Traces:
    """What one database knows of the event."""

    database: str
    written: StoredEvent | None
    scheduled: ScheduledEvent | None
    caused: list[CausedEvent]
    positions: list[ConsumerPosition]
    parked: list[ParkedEvent]


async def timeline(databases: Mapping[str, Connection], event_id: UUID) -> list[Step]:
    """The steps in the order of an event's life, from databases by name; empty if none knows it."""
    return _steps(await _traces(databases, event_id))


async def _traces(databases: Mapping[str, Connection], event_id: UUID) -> list[Traces]:
    """Ask each database, in the order given. The stream is known once any of them has told it."""
    written = {name: await _written(database, event_id) for name, database in databases.items()}
    parked = {name: await _parked(database, event_id) for name, database in databases.items()}
    known = [event.stream for event in written.values() if event]
    known += [event.stream for events in parked.values() for event in events]
    return [
        Traces(
            database=name,
            written=written[name],
            scheduled=await _scheduled(database, event_id),
            caused=await _caused(database, event_id),
            positions=await _positions(database, known[0]) if known else [],
            parked=parked[name],
        )
        for name, database in databases.items()
    ]


async def _written(connection: Connection, event_id: UUID) -> StoredEvent | None:
    if not await has_table(connection, "outbox"):
        return None
    for since, until in (_near(event_id), _EVER):
        parameters = {"id": event_id, "since": since, "until": until}
        if found := await fetch(connection, StoredEvent, outbox_sql.EVENT, parameters):
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


async def _scheduled(connection: Connection, event_id: UUID) -> ScheduledEvent | None:
    if not await has_table(connection, "outbox_scheduled"):
        return None
    found = await fetch(connection, ScheduledEvent, outbox_sql.SCHEDULED_EVENT, {"id": event_id})
    return found[0] if found else None


async def _caused(connection: Connection, event_id: UUID) -> list[CausedEvent]:
    if not await has_table(connection, "outbox"):
        return []
    since, _ = _near(event_id)
    return await fetch(
        connection, CausedEvent, outbox_sql.CAUSED_EVENTS, {"id": event_id, "since": since}
    )


async def _positions(connection: Connection, stream: Stream) -> list[ConsumerPosition]:
    if not await has_table(connection, "inbox"):
        return []
    key = {
        "source": stream.source,
        "kind": stream.aggregate_type,
        "aggregate": stream.aggregate_id,
    }
    return await fetch(connection, ConsumerPosition, inbox_sql.POSITIONS, key)


async def _parked(connection: Connection, event_id: UUID) -> list[ParkedEvent]:
    if not await has_table(connection, "inbox_parked"):
        return []
    found = await ParkedQueries(connection).find(ParkedSelection(event_id=event_id))
    return sorted(found, key=lambda event: event.consumer)


def _steps(traces: list[Traces]) -> list[Step]:
    steps = [
        Step("scheduled", False, due.due_at, one.database, f"as {due.key!r}, not yet due")
        for one in traces
        if (due := one.scheduled)
    ]
    written = next((one.written for one in traces if one.written), None)
    for one in traces:
        if one.written:
            steps += _steps_at_producer(one.database, one.written)
    for one in traces:
        steps += _steps_at_consumer(one, written)
    return steps


def _steps_at_producer(database: str, event: StoredEvent) -> Iterator[Step]:
    detail = f"{event.type}, {event.stream} at {event.sequence}"
    yield Step("written", True, event.created_at, database, detail)
    if event.published_at:
        tries = f" after {event.attempts} failed attempts" if event.attempts else ""
        detail = f"published and confirmed by the broker{tries}"
        yield Step("confirmed", True, event.published_at, database, detail)
    elif event.parked_at:
        detail = f"parked, the broker refuses it: {event.last_error or 'unknown'}"
        yield Step("published", False, event.parked_at, database, detail)
    else:
        detail = f"{event.attempts} failed attempts, the last: {event.last_error or 'none yet'}"
        yield Step("published", False, None, database, detail)


def _steps_at_consumer(found: Traces, written: StoredEvent | None) -> Iterator[Step]:
    for parked in found.parked:
        yield _delivered(found.database, parked)
    parking = {parked.consumer for parked in found.parked}
    for position in found.positions:
        if written and position.consumer not in parking:
            yield _applied(found.database, position, written, found.caused)
    if not found.positions:
        for event in found.caused:
            detail = f"caused {event.type} {event.event_id}"
            yield Step("applied", True, event.created_at, found.database, detail)


def _delivered(database: str, event: ParkedEvent) -> Step:
    due = event.next_attempt_at
    next_attempt = f", next attempt {due:%Y-%m-%d %H:%M:%S%z}" if due else ""
    error = f": {event.last_error}" if event.last_error else ""
    detail = (
        f"parked by {event.consumer} as {event.reason} after {event.attempts} attempts"
        f"{next_attempt}{error}"
    )
    return Step("delivered", True, event.parked_at, database, detail)


def _applied(
    database: str, position: ConsumerPosition, event: StoredEvent, caused: list[CausedEvent]
) -> Step:
    progress = f"{position.consumer} is at {position.last_sequence}"
    if position.last_sequence < event.sequence:
        behind = ", blocked by an earlier event" if position.blocked else ""
        return Step("applied", False, None, database, f"not yet: {progress}{behind}")
    another = position.last_event_id not in (event.event_id, None)
    if position.last_sequence == event.sequence and another:
        detail = (
            f"forked: {position.consumer} applied another event under this sequence:"
            f" {position.last_event_id}"
        )
        return Step("applied", False, None, database, detail)
    at = caused[0].created_at if caused else None
    effects = ", ".join(f"{effect.type} {effect.event_id}" for effect in caused)
    detail = f"{progress}; caused {effects}" if effects else progress
    return Step("applied", True, at, database, detail)

"""Scheduled events: what becomes an event when, by key; send it now, move it, unschedule it.

A scheduled event has no sequence yet, so unscheduling one leaves no gap. The relay that moves a due
event into the outbox table deletes its row: then there is nothing to change any more.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import MINYEAR, UTC, datetime, timedelta
from uuid import UUID

from psycopg.rows import class_row

from outbox.errors import InvalidSetting, NotThere
from outbox.event import Stream
from outbox.inbox.parked_rows import Preview
from outbox.log import operator_queries as sql
from outbox.operations.database import Connection, fetch, now
from outbox.operations.operator.record import Change, Record, refuse_changed
from outbox.operations.pages import Page, key_of
from outbox.postgres.notify import DOORBELL, SCHEDULED

FARTHEST = timedelta(days=36_525)
"""An event is moved so far ahead at most."""

_BEFORE_ALL = [datetime(1, 1, 1, tzinfo=UTC), "", ""]


@dataclass(frozen=True, slots=True)
class DueEvent:
    """An event that is not yet due. The same key again would replace it."""

    source: str
    key: str
    due_at: datetime
    event_id: UUID
    aggregate_type: str
    aggregate_id: str
    type: str
    version: int
    payload: str
    correlation_id: str
    causation_id: str | None
    traceparent: str | None

    @property
    def stream(self) -> Stream:
        """The stream that the event will belong to."""
        return Stream(self.source, self.aggregate_type, self.aggregate_id)

    def __str__(self) -> str:
        return f"{self.type} {self.event_id} due {self.due_at.isoformat()}"


@dataclass(frozen=True, slots=True)
class ScheduledEvents:
    """The scheduled events of one database."""

    connection: Connection
    record: Record

    async def list(
        self,
        *,
        limit: int = 100,
        after: str | None = None,
        prefix: str | None = None,
        type: str | None = None,
    ) -> Page[DueEvent]:
        """Scheduled events, the next due first; only keys that begin so, or of one event type."""
        due_at, source, key = (
            key_of(after, datetime.fromisoformat, str, str) if after else _BEFORE_ALL
        )
        values = {
            "due_at": due_at,
            "source": source,
            "key": key,
            "prefix": prefix,
            "type": type,
            "limit": limit + 1,
        }
        found = await fetch(self.connection, DueEvent, sql.SCHEDULED_EVENTS, values)
        return Page.of(found, limit, lambda one: [one.due_at, one.source, one.key])

    async def show(self, source: str, key: str) -> DueEvent:
        """One scheduled event. Raises `NotThere`."""
        return await self._find(sql.ONE_SCHEDULED_EVENT, source, key)

    async def preview(self, source: str, key: str) -> Preview:
        """The event that a change of this key would change. Raises `NotThere`."""
        return _preview(await self.show(source, key), await now(self.connection))

    async def send_now(
        self, source: str, key: str, *, seen: Preview | None = None, note: str = ""
    ) -> DueEvent:
        """Let an event be due now; a relay publishes it at once. Returns it as it was."""
        return await self._move("send scheduled now", source, key, seen=seen, note=note)

    async def move(
        self,
        source: str,
        key: str,
        due_at: datetime,
        *,
        seen: Preview | None = None,
        note: str = "",
    ) -> DueEvent:
        """Let an event be due at another time. Returns it as it was."""
        if due_at.tzinfo is None:
            raise InvalidSetting("due_at", "has to be a time with a zone")
        if due_at.year == MINYEAR or due_at > await now(self.connection) + FARTHEST:
            raise InvalidSetting("due_at", "has to be within the next hundred years")
        return await self._move("move scheduled", source, key, due_at=due_at, seen=seen, note=note)

    async def unschedule(
        self, source: str, key: str, *, seen: Preview | None = None, note: str = ""
    ) -> DueEvent:
        """Remove an event: it never becomes one. Returns it as it was."""
        async with self.record.change(
            "unschedule", f"{source} {key}", note=note, one_transaction=True
        ) as change:
            event = await self._locked(source, key, seen, change)
            await self.connection.execute(sql.UNSCHEDULE, {"source": source, "key": key})
        return event

    async def _move(
        self,
        what: str,
        source: str,
        key: str,
        *,
        due_at: datetime | None = None,
        seen: Preview | None,
        note: str,
    ) -> DueEvent:
        async with self.record.change(
            what, f"{source} {key}", note=note, one_transaction=True
        ) as change:
            event = await self._locked(source, key, seen, change)
            due = due_at or await now(self.connection)
            values = {"source": source, "key": key, "due_at": due}
            await self.connection.execute(sql.MOVE_SCHEDULED, values)
            # Once committed, so that the relay that hears of it finds the new time.
            await self.connection.execute("SELECT pg_notify(%s, %s)", [DOORBELL, SCHEDULED])
            change.detail = f"{event}; now {due.isoformat()}"
        return event

    async def _locked(
        self, source: str, key: str, seen: Preview | None, change: Change
    ) -> DueEvent:
        """The event, locked; what was seen is compared with it."""
        event = await self._find(f"{sql.ONE_SCHEDULED_EVENT} FOR UPDATE", source, key)
        refuse_changed(seen, _preview(event, await now(self.connection)))
        change.events, change.detail = 1, str(event)
        return event

    async def _find(self, query: str, source: str, key: str) -> DueEvent:
        async with self.connection.cursor(row_factory=class_row(DueEvent)) as cursor:
            await cursor.execute(query, {"source": source, "key": key})
            event = await cursor.fetchone()
        if event is None:
            raise NotThere(f"{source} has no scheduled event {key!r}: it was sent, or unscheduled")
        return event


def _preview(event: DueEvent, at: datetime) -> Preview:
    return Preview(1, 1, 0, at, f"{event.event_id} {event.due_at.isoformat()}")

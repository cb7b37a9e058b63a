"""What the consumers of one database did with some events.

A consumer is expected to receive an event if it has ever received one of the same source and
aggregate type.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from outbox.event import Stream
from outbox.inbox import journey_queries as sql
from outbox.inbox.journey_queries import (
    AppliedEvent,
    GivenUp,
    MissingSequences,
    StreamProgress,
    WaitingEvent,
)
from outbox.inbox.parked_rows import FailedAttempt
from outbox.log.journey_queries import WrittenEvent
from outbox.operations.journey.databases import AT_ONCE, JourneyDatabase
from outbox.operations.journey.found import Reception, State
from outbox.operations.journey.stages import Times

_CLOCKS = timedelta(seconds=5)
"""The clocks of two databases differ by less, or an event is found by the bounded search."""
_COMMIT = timedelta(seconds=2)
"""What a handler has deferred is sent after `applied_at` of an event that was parked, and before
the commit."""


@dataclass(frozen=True, slots=True)
class _KeptSince:
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Receptions:
    """The rows that one database has about some streams and events."""

    database: str
    progress: Sequence[StreamProgress]
    applied: Mapping[tuple[str, UUID], AppliedEvent]
    waiting: Sequence[WaitingEvent]
    given_up: Sequence[GivenUp]
    missing: Sequence[MissingSequences]

    @classmethod
    async def of(cls, database: JourneyDatabase, events: Sequence[WrittenEvent]) -> Receptions:
        """Ask for all of them."""
        streams = {event.stream: None for event in events}
        progress = await database.ask_inbox(StreamProgress, sql.WHO_RECEIVES, _columns(streams))
        keys = {**_columns([one.stream for one in progress]), "limit": AT_ONCE}
        keys["consumers"] = [one.consumer for one in progress]
        given_up = {"ids": [stream.aggregate_id for stream in streams], "limit": AT_ONCE}
        return cls(
            database.name,
            progress,
            await _applied(database, events, progress),
            await database.ask_inbox(WaitingEvent, sql.PARKED, keys),
            await database.ask_inbox(GivenUp, sql.GIVEN_UP, given_up),
            await database.ask_inbox(MissingSequences, sql.MISSING, keys),
        )

    def of_event(self, event: WrittenEvent) -> Sequence[Reception]:
        """One for each consumer that has it, or should get it."""
        return [self._reception(event, one) for one in self.progress if one.stream == event.stream]

    def transactions(self, event: WrittenEvent) -> Sequence[tuple[datetime, datetime]]:
        """When each transaction ran that applied the event."""
        return [
            (one.began_at, one.applied_at + _COMMIT)
            for (_, event_id), one in self.applied.items()
            if event_id == event.event_id
        ]

    def _reception(self, event: WrittenEvent, at: StreamProgress) -> Reception:
        mine = (at.consumer, event.stream, event.sequence)
        if found := self._given_up(*mine):
            return self._as_given_up(event, found)
        if applied := self.applied.get((at.consumer, event.event_id)):
            return self._as_applied(event, applied)
        for waiting in self.waiting:
            if (waiting.consumer, waiting.event_id) == (at.consumer, event.event_id):
                return self._as_parked(event, waiting)
        return self._without_rows(event, at)

    def _as_applied(self, event: WrittenEvent, row: AppliedEvent) -> Reception:
        times = Times(
            event.created_at,
            event.published_at,
            row.received_at,
            row.began_at,
            row.applied_at,
            was_parked=row.parked_at is not None,
        )
        return Reception(
            self.database,
            row.consumer,
            State.APPLIED,
            times,
            "its body was edited" if self._is_edited(event, row.consumer) else "",
            failures=_failures(row.failed_at, row.failed_with),
            last_error=row.last_error,
            ended_at=row.applied_at,
        )

    def _as_parked(self, event: WrittenEvent, row: WaitingEvent) -> Reception:
        times = Times(event.created_at, event.published_at, row.parked_at, was_parked=True)
        due = row.next_attempt_at
        again = f", next attempt at {due:%Y-%m-%d %H:%M:%S%z}" if due else ""
        return Reception(
            self.database,
            row.consumer,
            State.PARKED,
            times,
            f"{row.reason}{again}",
            _failures(row.failed_at, row.failed_with),
            row.last_error,
        )

    def _as_given_up(self, event: WrittenEvent, row: GivenUp) -> Reception:
        arrived = row.parked_at
        times = Times(event.created_at, event.published_at, arrived, was_parked=bool(arrived))
        state = State.DISCARDED if arrived else State.SKIPPED
        return Reception(
            self.database,
            row.consumer,
            state,
            times,
            f"{row.reason}: {row.note}" if row.note else row.reason,
            _failures(row.failed_at, row.failed_with),
            row.last_error,
            row.discarded_at,
        )

    def _without_rows(self, event: WrittenEvent, at: StreamProgress) -> Reception:
        state, detail = self._state_without_rows(event, at)
        times = Times(event.created_at, event.published_at)
        return Reception(self.database, at.consumer, state, times, detail)

    def _state_without_rows(self, event: WrittenEvent, at: StreamProgress) -> tuple[State, str]:
        if at.last_sequence == event.sequence and at.last_event_id not in (None, event.event_id):
            return State.FORKED, f"applied {at.last_event_id} with this sequence"
        if at.last_sequence >= event.sequence:
            return State.PASSED, f"the stream is at {at.last_sequence}, times are not known"
        if event.published_at is None:
            return State.UNPUBLISHED, event.last_error or "not published yet"
        behind = ", an earlier event stops the stream" if at.blocked else ""
        where = f"the stream is at {at.last_sequence}{behind}"
        for missing in self.missing:
            if missing.consumer == at.consumer and missing.covers(event.stream, event.sequence):
                return State.MISSING, f"{where}; {_asked(missing, event.sequence)}"
        return State.UNDER_WAY, where

    def _is_edited(self, event: WrittenEvent, consumer: str) -> bool:
        return any(
            one.is_edit and one.consumer == consumer and one.covers(event.stream, event.sequence)
            for one in self.given_up
        )

    def _given_up(self, consumer: str, stream: Stream, sequence: int) -> GivenUp | None:
        """The last one: an event that was discarded may have come again."""
        found = [
            one
            for one in self.given_up
            if one.consumer == consumer and one.covers(stream, sequence) and not one.is_edit
        ]
        return found[-1] if found else None


async def _applied(
    database: JourneyDatabase, events: Sequence[WrittenEvent], progress: Sequence[StreamProgress]
) -> dict[tuple[str, UUID], AppliedEvent]:
    """The times of all that was applied: soon after it was published, or found by the search."""
    if not progress:
        return {}
    published = [event for event in events if event.published_at is not None]
    windows = {
        "ids": [event.event_id for event in published],
        "since": [event.created_at - _CLOCKS for event in published],
        "until": [event.published_at for event in published],
    }
    ids = {"ids": [event.event_id for event in events]}
    rows = [
        *await database.ask_inbox(AppliedEvent, sql.PARKED_BEFORE, ids),
        *await database.ask_inbox(AppliedEvent, sql.SOON_AFTER, windows),
    ]
    found = {(row.consumer, row.event_id): row for row in rows}
    last = {(one.consumer, one.stream): one.last_sequence for one in progress}
    late: Sequence[WrittenEvent] = [
        event
        for event in published
        for (consumer, stream), sequence in last.items()
        if stream == event.stream and sequence >= event.sequence
        if (consumer, event.event_id) not in found
    ]
    late = await _kept(database, late)
    if late:
        since = min(event.created_at for event in late) - _CLOCKS
        parameters = {"ids": [event.event_id for event in late], "since": since}
        rows = [*await database.ask_inbox(AppliedEvent, sql.LATER, parameters)]
        found |= {(row.consumer, row.event_id): row for row in rows}
    return found


async def _kept(
    database: JourneyDatabase, events: Sequence[WrittenEvent]
) -> Sequence[WrittenEvent]:
    """Those whose times may be there: none of before the oldest that is kept."""
    if not events:
        return ()
    [kept] = await database.ask_inbox(_KeptSince, sql.KEPT_SINCE, {})
    return [event for event in events if kept.since and event.created_at >= kept.since]


def _columns(streams: Iterable[Stream]) -> dict[str, object]:
    columns: dict[str, list[str]] = defaultdict(list)
    for stream in streams:
        columns["sources"].append(stream.source)
        columns["types"].append(stream.aggregate_type)
        columns["ids"].append(stream.aggregate_id)
    return {name: columns[name] for name in ("sources", "types", "ids")}


def _failures(
    at: Sequence[datetime] | None, errors: Sequence[str] | None
) -> tuple[FailedAttempt, ...]:
    return tuple(map(FailedAttempt, at or (), errors or ()))


def _asked(missing: MissingSequences, sequence: int) -> str:
    since = f"missing since {missing.noticed_at:%Y-%m-%d %H:%M:%S%z}"
    if missing.is_lost(sequence):
        return f"{since}, its source does not have it any more"
    if missing.asked_at:
        return f"{since}, asked for {missing.asks} times"
    return since

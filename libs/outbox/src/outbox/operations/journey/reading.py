"""Reads a journey: from what the id names to what that has caused, round by round.

Each round asks all databases about the events of the round before: which transactions have applied
them, what these emitted, and what else has happened to the same aggregates within the same request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from outbox.inbox import journey_queries as inbox_sql
from outbox.log.journey_queries import WrittenEvent
from outbox.operations.database import Connection
from outbox.operations.journey.databases import LAST, JourneyDatabase
from outbox.operations.journey.found import (
    ExpectedEvent,
    Journey,
    JourneyEvent,
    JourneyJob,
    Reception,
)
from outbox.operations.journey.naming import Moment, Named
from outbox.operations.journey.receptions import Receptions

ROUNDS = 8
"""A chain of causes is followed so far in each direction."""
MOST = 200
"""At most so many events are shown."""


_Asks = Callable[[JourneyDatabase], Awaitable[Sequence[WrittenEvent]]]


@dataclass(frozen=True, slots=True)
class _Aggregate:
    aggregate_id: str


async def read_journey(
    databases: Mapping[str, Connection], text: str, *, everywhere: bool = False
) -> Journey:
    """What the text names and all that belongs to it. No events: nothing here knows it.

    `everywhere` searches the whole outbox table, which may take long, for an event whose id does
    not say when it was written.
    """
    reading = _Reading(await JourneyDatabase.all(databases), Named.by(text))
    await reading.find(everywhere=everywhere)
    return await reading.journey(text.strip())


@dataclass(slots=True)
class _Reading:
    databases: Sequence[JourneyDatabase]
    named: Named
    events: dict[UUID, tuple[str, WrittenEvent]] = field(default_factory=dict)
    receptions: dict[UUID, list[Reception]] = field(default_factory=dict)
    moments: dict[str, list[Moment]] = field(default_factory=dict)
    """By database, when transactions ran that applied events of the journey."""
    asked: set[str] = field(default_factory=set)
    """The aggregates whose streams were read."""
    is_more: bool = False

    async def find(self, *, everywhere: bool) -> None:
        """Find what the text names, then what belongs to it."""
        new = await self._seeds(everywhere=everywhere)
        for _ in range(ROUNDS):
            if not new:
                return
            await self._receive(new)
            causes, effects = await self._causes(new), await self._effects(new)
            new = [*causes, *effects, *await self._beside([*new, *causes, *effects])]
        self.is_more = self.is_more or bool(new)
        await self._receive(new)

    async def _seeds(self, *, everywhere: bool) -> Sequence[WrittenEvent]:
        if found := await self._streams_of(self.named.aggregates):
            self.is_more = self.is_more or any(event.sequence > LAST for event in found)
            return found
        found = await self._add_from_all(
            lambda database: database.named(self.named, everywhere=everywhere)
        )
        return found or await self._streams_of(await self._parked_aggregates())

    async def _parked_aggregates(self) -> list[str]:
        """The aggregate of an event that waits in an inbox: its id may say nothing of its time."""
        if not self.named.events:
            return []
        parameters = {"ids": [*self.named.events]}
        return [
            row.aggregate_id
            for database in self.databases
            for row in await database.ask_inbox(_Aggregate, inbox_sql.PARKED_STREAM, parameters)
        ]

    async def _receive(self, new: Sequence[WrittenEvent]) -> None:
        for database in self.databases:
            receptions = await Receptions.of(database, new)
            for event in new:
                self.receptions.setdefault(event.event_id, []).extend(receptions.of_event(event))
                times = receptions.transactions(event)
                self.moments.setdefault(database.name, []).extend(times)

    async def _causes(self, new: Sequence[WrittenEvent]) -> list[WrittenEvent]:
        """The events that caused these, in whatever database."""
        ids = {cause for event in new if (cause := _uuid(event.causation_id))}
        return await self._add_from_all(
            lambda database: database.with_ids([*ids - self.events.keys()])
        )

    async def _effects(self, new: Sequence[WrittenEvent]) -> list[WrittenEvent]:
        """What the transactions that applied these have emitted."""
        ids = [event.event_id for event in new]
        return await self._add_from_all(
            lambda database: database.caused_by(ids, self.moments.get(database.name, []))
        )

    async def _beside(self, new: Sequence[WrittenEvent]) -> list[WrittenEvent]:
        """Other events of the same aggregates that belong to the same requests.

        Among these are those of scheduled events and of jobs, which were emitted later.
        """
        requests = {event.correlation_id for _, event in self.events.values()}
        return await self._streams_of([event.aggregate_id for event in new], requests)

    async def _streams_of(
        self, aggregates: Iterable[str], requests: Iterable[str] | None = None
    ) -> list[WrittenEvent]:
        """The events of these aggregates, all of them or those of some requests."""
        unknown = [one for one in dict.fromkeys(aggregates) if one not in self.asked]
        self.asked.update(unknown)
        if not unknown:
            return []
        found: list[WrittenEvent] = []
        for database in self.databases:
            events = await database.events_of(unknown)
            found += self._add(
                database,
                [one for one in events if requests is None or one.correlation_id in requests],
            )
        return found

    async def _add_from_all(self, ask: _Asks) -> list[WrittenEvent]:
        found: list[WrittenEvent] = []
        for database in self.databases:
            found += self._add(database, await ask(database))
        return found

    def _add(self, database: JourneyDatabase, events: Sequence[WrittenEvent]) -> list[WrittenEvent]:
        """Returns those that are new."""
        new = []
        for event in sorted(events, key=lambda event: event.created_at, reverse=True):
            if event.event_id in self.events:
                continue
            if len(self.events) >= MOST:
                self.is_more = True
                break
            self.events[event.event_id] = (database.name, event)
            new.append(event)
        return new

    async def journey(self, text: str) -> Journey:
        """What was found, with what is still to come."""
        found = sorted(self.events.values(), key=lambda one: (one[1].created_at, one[1].sequence))
        events = [
            JourneyEvent(name, event, tuple(self.receptions.get(event.event_id, ())))
            for name, event in found
        ]
        aggregates = [*self.asked, *self.named.aggregates]
        requests = {one.event.correlation_id for one in events}
        ids = [*self.events]
        scheduled: list[ExpectedEvent] = []
        jobs: list[JourneyJob] = []
        for database in self.databases:
            known = [*requests, *self.named.correlations]
            scheduled += await database.scheduled(aggregates, known, [*self.named.events])
            jobs += await database.jobs_of(ids, self.moments.get(database.name, []))
        jobs.sort(key=lambda one: one.job.created_at)
        scheduled.sort(key=lambda one: one.due_at)
        return Journey(text, tuple(events), tuple(scheduled), tuple(jobs), self.is_more)


def _uuid(text: str | None) -> UUID | None:
    try:
        return UUID(text) if text else None
    except ValueError:
        return None

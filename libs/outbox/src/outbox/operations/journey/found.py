"""What a journey consists of: events, and what each consumer did with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from outbox.inbox.parked_rows import FailedAttempt
from outbox.jobs.journey_queries import CausedJob
from outbox.log.journey_queries import WrittenEvent
from outbox.operations.journey.stages import Stage, Times


class State(StrEnum):
    """What became of an event at one consumer."""

    APPLIED = "applied"
    PASSED = "passed"
    """The stream has come past it; when is not known any more."""
    DISCARDED = "discarded"
    SKIPPED = "skipped"
    """It never arrived, and a person has moved the stream past it."""
    FORKED = "forked"
    """Another event was applied with its sequence."""
    PARKED = "parked"
    UNPUBLISHED = "unpublished"
    UNDER_WAY = "under way"
    MISSING = "missing"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self in (State.APPLIED, State.PASSED, State.DISCARDED, State.SKIPPED, State.FORKED)


@dataclass(frozen=True, slots=True)
class Reception:
    """What one consumer did with an event. `detail` is a sentence for people."""

    database: str
    consumer: str
    state: State
    times: Times
    detail: str = ""
    failures: Sequence[FailedAttempt] = ()
    """Attempts that failed: the first one and the last ones."""
    last_error: str | None = None
    ended_at: datetime | None = None
    """When it was applied or given up, if that is known."""

    @property
    def stages(self) -> Sequence[Stage]:
        """Its way so far; the last one lasts unless the event was applied."""
        return self.times.stages()


@dataclass(frozen=True, slots=True)
class JourneyEvent:
    """An event in its producer's outbox table. No receptions: no consumer of it is known."""

    database: str
    event: WrittenEvent
    receptions: Sequence[Reception] = ()

    @property
    def is_first(self) -> bool:
        """Whether no other event has caused it: a request has, or a schedule."""
        return self.event.causation_id is None

    @property
    def is_tombstone(self) -> bool:
        """Whether it was discarded at its source."""
        return self.event.type in (
            self.event.aggregate_type,
            f"{self.event.aggregate_type}.discarded",
        )

    @property
    def stages(self) -> Sequence[Stage]:
        """Its way to the broker."""
        return Times(self.event.created_at, self.event.published_at).stages()[:1]


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """A scheduled event that is not due yet."""

    database: str
    event_id: UUID
    type: str
    aggregate_id: str
    key: str
    due_at: datetime


@dataclass(frozen=True, slots=True)
class JourneyJob:
    """A call to another system that an event has caused."""

    database: str
    job: CausedJob


@dataclass(frozen=True, slots=True)
class Usual:
    """How long a stage took in a sample of `events`, in seconds."""

    events: int
    p50: float
    p95: float
    longest: float


@dataclass(frozen=True, slots=True)
class Journey:
    """All that is known under an id, the earliest event first."""

    id: str
    events: Sequence[JourneyEvent] = ()
    scheduled: Sequence[ExpectedEvent] = ()
    jobs: Sequence[JourneyJob] = ()
    is_more: bool = False
    """Whether events were left out: there are more than one journey shows."""
    usual: Mapping[str, Mapping[str, Usual]] | None = None
    """By consumer and stage, what the last hour took."""

    @property
    def began_at(self) -> datetime | None:
        """When the first event was written."""
        return self.events[0].event.created_at if self.events else None

    @property
    def last_at(self) -> datetime | None:
        """The last time that is known."""
        times = [one.event.published_at or one.event.created_at for one in self.events]
        times += [
            reception.ended_at
            for one in self.events
            for reception in one.receptions
            if reception.ended_at
        ]
        times += [one.job.ended_at for one in self.jobs if one.job.ended_at]
        return max(times, default=None)

    @property
    def is_over(self) -> bool:
        """Whether nothing more is known to happen."""
        receptions = (reception for one in self.events for reception in one.receptions)
        published = all(one.event.published_at for one in self.events)
        waiting = any(one.job.state == "waiting" for one in self.jobs)
        return (
            published
            and not (self.scheduled or waiting)
            and all(reception.state.is_over for reception in receptions)
        )

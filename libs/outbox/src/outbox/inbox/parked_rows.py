"""The rows of parked events, the reasons for which they are parked, and their counts.

The statements are in `outbox.inbox.parked_events` (what changes them) and
`outbox.inbox.parked_queries` (what operators ask).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from outbox.event import Envelope, Stream
from outbox.fingerprints import Cause
from outbox.inbox.position import Decision
from outbox.plural import counted

FAILED, CRASHED, UNREADABLE, DISCARDED = "failed", "crashed", "unreadable", "discarded"
UNHANDLED = "unhandled"
PAUSED, TRIPPED = "paused", "tripped"
GATED = (PAUSED, TRIPPED)
"""Reasons for which a gate parks an event; see `outbox.inbox.gates`."""
FORKED = Decision.FORKED.value
REASONS = (
    *(decision.value for decision in Decision if decision.parks),
    FAILED,
    CRASHED,
    UNREADABLE,
    UNHANDLED,
    *GATED,
    DISCARDED,
)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an event is parked, and when it is tried again.

    `reason` is one of `REASONS`. `delay` is in seconds; without one, and `deadline` seconds after
    the first failure, a person has to redrive the event. `counts` says whether it was an attempt of
    the event's own. `is_first` is false when it has failed before. Without a `cause` the reason is
    the cause. With a `discarded_because` the event is given up, and its stream goes on.
    """

    reason: str
    error: str
    delay: float | None = None
    counts: bool = True
    traceback: str | None = None
    is_first: bool = True
    cause: Cause | None = None
    deadline: float | None = None
    discarded_because: str | None = None


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """When an attempt failed, and with which class of error."""

    at: datetime
    error: str


@dataclass(frozen=True, slots=True)
class ParkedEvent:
    """An event that waits. `body` are its raw bytes.

    It is retried by itself at `next_attempt_at`, if there is one, and at last at `retried_until`.

    `failures` are the first failed attempt and the last ones. Lists leave out these three: body,
    traceback and failures.
    """

    consumer: str
    stream: Stream
    sequence: int
    event_id: UUID
    reason: str
    type: str
    version: int
    time: datetime
    attempts: int
    next_attempt_at: datetime | None
    retried_until: datetime | None
    last_error: str | None
    parked_at: datetime
    correlation_id: str
    causation_id: str | None
    traceparent: str | None
    size: int
    cause: str | None
    fingerprint: str | None
    body: bytes | None
    last_traceback: str | None
    failures: tuple[FailedAttempt, ...] = ()

    @property
    def is_discarded(self) -> bool:
        """Whether it is a tombstone: its stream passes it without an effect."""
        return self.reason == DISCARDED

    @property
    def envelope(self) -> Envelope:
        """The event as it was delivered."""
        assert self.body is not None, "a list has no bodies"
        context = (self.correlation_id, self.causation_id, self.traceparent)
        what = (self.event_id, self.stream, self.sequence, self.type, self.version, self.time)
        return Envelope(*what, bytes(self.body), *context)


@dataclass(frozen=True, slots=True)
class Gap:
    """Sequences that a stream waits for, and how many events wait behind them since when."""

    stream: Stream
    first: int
    last: int
    waiting: int
    since: datetime


@dataclass(frozen=True, slots=True)
class ParkedGroup:
    """Parked events of one consumer and type that stop their streams with one cause.

    `followers` wait behind them, and `for_person` of the events wait for a person. The others are
    retried: at `next_attempt` the first, until `retried_until` the first. The sample is the oldest
    event.
    """

    consumer: str
    type: str
    fingerprint: str
    cause: str
    reason: str
    events: int
    streams: int
    followers: int
    first_seen: datetime
    last_seen: datetime
    next_attempt: datetime | None
    retried_until: datetime | None
    for_person: int
    sample: UUID
    sample_stream: str
    sample_sequence: int
    sample_error: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would move at this time; `followers` wait in the streams of the events.

    `digest` stands for exactly these events.
    """

    events: int
    streams: int
    followers: int
    at: datetime
    digest: str = ""

    def is_same(self, now: Preview) -> bool:
        """Whether the same events would be moved now. Others may have come to wait behind them."""
        return (self.events, self.streams, self.digest) == (now.events, now.streams, now.digest)

    def __str__(self) -> str:
        events, streams = counted(self.events, "event"), counted(self.streams, "stream")
        return f"{events} of {streams}"


@dataclass(frozen=True, slots=True)
class ParkedCount:
    """Parked events of one consumer for one reason; `for_person` of them wait for a person."""

    consumer: str
    reason: str
    events: int
    for_person: int
    bytes: int
    oldest: datetime
    next_attempt: datetime | None


@dataclass(frozen=True, slots=True)
class ParkedStream:
    """The stream of one consumer that has the most bytes parked."""

    consumer: str
    stream: str
    events: int
    bytes: int


@dataclass(frozen=True, slots=True)
class ParkedType:
    """Parked events of one type; `unhandled` of them stop their streams for want of a handler."""

    consumer: str
    type: str
    events: int
    oldest: datetime
    unhandled: int


def parked_event(consumer: str, source: str, kind: str, id_: str, *values: Any) -> ParkedEvent:
    """An event from a row: `COLUMNS` of `outbox.inbox.parked_events`, body and traceback."""
    return ParkedEvent(consumer, Stream(source, kind, id_), *values)

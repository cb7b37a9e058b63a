"""A job, and what its handler makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self
from uuid import UUID

from outbox.errors import OutboxError
from outbox.event import Envelope, Stream
from outbox.log.unit_of_work import UnitOfWork
from outbox.tracebacks import said, storable, traceback_of

UNDONE = ("waiting", "failed", "discarded")
STATES = (*UNDONE, "done")


@dataclass(frozen=True, slots=True)
class Job:
    """One call to make: a row of `outbox_jobs`.

    `attempts` counts how often the call was begun; for a handler its own attempt is included. While
    a call is being made, `lease_id` names its attempt and `lease_until` lies in the future.
    """

    id: int
    kind: str
    key: str
    payload: Any
    state: str
    attempts: int
    lease_id: UUID | None
    lease_until: datetime | None
    next_attempt_at: datetime
    last_error: str | None
    last_traceback: str | None
    correlation_id: str
    causation_id: UUID | None
    traceparent: str | None
    created_at: datetime
    ended_at: datetime | None

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt, so that the other side can repeat its first answer."""
        return f"{self.kind}:{self.key}"

    @property
    def cause(self) -> Envelope | None:
        """The event that led to this job, with the fields that the events of its answer need."""
        if self.causation_id is None:
            return None
        return Envelope(
            id=self.causation_id,
            stream=Stream("", "", ""),
            sequence=0,
            type="",
            version=1,
            time=datetime.fromtimestamp(0, UTC),
            payload=b"",
            correlation_id=self.correlation_id,
            traceparent=self.traceparent,
        )


@dataclass(frozen=True, slots=True)
class JobCount:
    """Jobs of a kind in a state that is not done.

    `since` is when the first of them was due or ended, and `seconds` how long ago that was. If the
    first is not yet due, `seconds` is 0. If the calls of all that are due are being made, `since`
    is None and `seconds` is 0.
    """

    kind: str
    state: str
    jobs: int
    since: datetime | None
    seconds: float


@dataclass(frozen=True, slots=True)
class JobFailure:
    """Why an attempt failed, as texts that PostgreSQL can store."""

    error: str
    traceback: str

    @classmethod
    def of(cls, problem: Exception) -> Self:
        """The failure that this exception means."""
        return cls(storable(said(problem)), storable(traceback_of(problem)))


Result = Callable[[UnitOfWork], Awaitable[None]]
"""Writes down the answer to a call, with its events, in the transaction that ends the job."""

JobHandler = Callable[[Job], Awaitable[Result]]
"""Makes the call, with no transaction open. If it raises, the outcome is unknown and the same call
is made again with the same key. A "no" of the other side is a result, not an error."""


class Declined(OutboxError):
    """Raised by a handler if no further attempt can help. The job is `failed` at once."""

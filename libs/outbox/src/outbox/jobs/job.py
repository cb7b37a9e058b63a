"""A job, and what a handler makes of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from outbox.errors import OutboxError
from outbox.event import Envelope, Stream
from outbox.log.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Job:
    """One call to make. `attempt` counts from 1."""

    id: int
    kind: str
    key: str
    payload: Any
    attempt: int
    lease: UUID
    correlation_id: str
    causation_id: UUID | None = None
    traceparent: str | None = None

    @property
    def idempotency_key(self) -> str:
        """The same in every attempt: the other side knows by it that it has answered before."""
        return f"{self.kind}:{self.key}"

    @property
    def cause(self) -> Envelope | None:
        """The event that led to this job, as far as its answers need to know it."""
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


Result = Callable[[UnitOfWork], Awaitable[None]]
"""Writes down what came of a call, with its events: run in the transaction that ends the job."""

JobHandler = Callable[[Job], Awaitable[Result]]
"""Makes the call, with no transaction open. If it raises, the outcome is unknown: the same call
is made again, with the same key. A "no" of the other side is a result, not an error."""


class Declined(OutboxError):
    """For handlers: no further attempt can help. The job is `failed` at once."""


def stored(payload: object) -> str:
    """The payload as JSON."""
    return json.dumps(payload, ensure_ascii=False, allow_nan=False)

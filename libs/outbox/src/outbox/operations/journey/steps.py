"""A journey as a list of steps in the order of time: what a picture shows, for readers without it.

What has not happened yet stands at the end, without a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from operator import itemgetter
from uuid import UUID

from outbox.operations.journey.found import (
    ExpectedEvent,
    Journey,
    JourneyEvent,
    JourneyJob,
    Reception,
    State,
)

WRITTEN, PUBLISHED = "written", "published"
RECEIVED, PARKED, FAILED, APPLIED = "received", "received and parked", "failed", "applied"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened, or is still to happen: then `done` is false.

    `at` is None where the time is not known. `detail` begins with the type of the event.
    """

    at: datetime | None
    done: bool
    database: str
    what: str
    detail: str
    event_id: UUID | None = None
    consumer: str | None = None
    is_first: bool = False
    """Whether it begins something: no event has caused it."""

    @property
    def where(self) -> str:
        """The database, and the consumer if it is one's step."""
        return f"{self.database} {self.consumer}" if self.consumer else self.database


def steps(journey: Journey) -> Sequence[Step]:
    """All steps, the earliest first."""
    found = [step for event in journey.events for step in _of_event(event)]
    found += [step for job in journey.jobs for step in _of_job(job)]
    found += [_of_expected(one) for one in journey.scheduled]
    known = [(step.at, step) for step in found if step.done and step.at]
    known.sort(key=itemgetter(0))
    rest = [step for step in found if not (step.done and step.at)]
    return [*(step for _, step in known), *rest]


def _of_event(one: JourneyEvent) -> Iterator[Step]:
    event, where = one.event, one.database
    cause = f", caused by {event.causation_id}" if event.causation_id else ""
    written = f"{event.type}, {event.stream} at {event.sequence}{cause}"
    yield Step(event.created_at, True, where, WRITTEN, written, event.event_id,
               is_first=one.is_first)  # fmt: skip
    if event.published_at:
        tries = f" after {event.attempts} failed attempts" if event.attempts else ""
        said = f"{event.type}, confirmed by the broker{tries}"
        # The broker had it when a consumer received it, perhaps before the relay knew.
        received = [reception.times.received_at for reception in one.receptions]
        at = min([event.published_at, *(time for time in received if time)])
        yield Step(at, True, where, PUBLISHED, said, event.event_id)
    elif event.parked_at:
        said = f"{event.type}, the broker refuses it: {event.last_error or 'unknown'}"
        yield Step(event.parked_at, True, where, "parked in the outbox", said, event.event_id)
    else:
        tried = f"{event.attempts} failed attempts, the last: {event.last_error or 'none yet'}"
        yield Step(None, False, where, PUBLISHED, f"{event.type}, {tried}", event.event_id)
    for reception in one.receptions:
        yield from _of_reception(one, reception)
    if event.published_at and not one.receptions:
        said = f"{event.type}: no consumer of it is known in these databases"
        yield Step(None, False, where, APPLIED, said, event.event_id)


def _of_reception(one: JourneyEvent, reception: Reception) -> Iterator[Step]:
    kind, times = one.event.type, reception.times
    mine = partial(
        Step, database=reception.database, event_id=one.event.event_id, consumer=reception.consumer
    )
    detail = f": {reception.detail}" if reception.detail else ""
    if times.received_at:
        what = PARKED if times.was_parked else RECEIVED
        yield mine(times.received_at, True, what=what, detail=kind)
    for failure in reception.failures:
        last = failure is reception.failures[-1] and reception.last_error
        yield mine(failure.at, True, what=FAILED, detail=f"{kind}, {last or failure.error}")
    if reception.state.is_over:
        yield mine(reception.ended_at, True, what=str(reception.state), detail=f"{kind}{detail}")
    elif reception.state is not State.UNPUBLISHED:
        said = f"{kind} is {reception.state}{detail}"
        yield mine(None, False, what=APPLIED, detail=said)


def _of_job(one: JourneyJob) -> Iterator[Step]:
    job = one.job
    name = f"job {job.kind} {job.key}"
    yield Step(job.created_at, True, one.database, "job added", name, job.causation_id)
    tries = f", {job.attempts} attempts" if job.attempts > 1 else ""
    error = f": {job.last_error}" if job.last_error and job.state != "done" else ""
    detail = f"{name}, {job.state}{tries}{error}"
    yield Step(
        job.ended_at, job.ended_at is not None, one.database, "job ended", detail, job.causation_id
    )


def _of_expected(one: ExpectedEvent) -> Step:
    detail = f"{one.type}, as {one.key!r}, due at {one.due_at:%Y-%m-%d %H:%M:%S%z}"
    return Step(one.due_at, False, one.database, "scheduled", detail, one.event_id)

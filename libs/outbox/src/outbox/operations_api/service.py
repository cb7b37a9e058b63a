"""`/status`, controls, jobs, streams, queues and the history: the service as a whole."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import Field

from outbox.event import Stream
from outbox.operations.controls import OfQueue, OfRelay, Target
from outbox.operations_api.access import Changing as ChangingOperator
from outbox.operations_api.access import Reading
from outbox.operations_api.bodies import (
    PREVIEW,
    After,
    Body,
    Changing,
    Limit,
    Name,
    Number,
    StreamBody,
    answer,
    shown,
)

router = APIRouter(tags=["service"])


class Controlled(Body):
    """A queue, one event type of a queue, or a relay by its exchange: one of queue and relay."""

    queue: str | None = Field(default=None, examples=["processor.orders"])
    relay: str | None = Field(default=None, examples=["orders"])
    type: str = Field(default="", examples=["order.created"])
    why: str = Field(default="", max_length=1_000)

    @property
    def target(self) -> Target:
        """The same for an operator."""
        return OfRelay(self.relay) if self.relay else OfQueue(self.queue or "", self.type)


class Pause(Controlled):
    """What to pause, and for how long."""

    seconds: float | None = Field(
        default=None, gt=0, description="It ends by itself after so long."
    )


class Throttle(Pause):
    """What to throttle, and to what."""

    rate: float = Field(gt=0, description="Events a second, in each process.")


class SomeJobs(Body):
    """Jobs of a kind and with a key; all of them without either."""

    kind: str | None = None
    key: str | None = None


class RedriveJobs(SomeJobs, Changing):
    """The same, to be tried now."""


class OneJob(Body):
    """One job."""

    kind: Name
    key: Name


class DiscardJob(OneJob, Changing):
    """The same, to be given up."""


class Baseline(Body):
    """Where a consumer goes on in a stream."""

    consumer: Name
    stream: StreamBody
    sequence: Number


class SetBaseline(Baseline, Changing):
    """The same, to be set."""


class DeadLetters(Body):
    """The dead letters of a queue."""

    queue: Name


class MoveDeadLetters(DeadLetters, Changing):
    """The same, to be moved back."""


class Tripped(Body):
    """Event types of a consumer that have tripped."""

    consumer: Name
    types: list[Name] = Field(min_length=1, max_length=100)


@router.get("/status", responses=shown({"outbox": None, "inbox": None, "jobs": None}))
async def show_status(operator: Reading) -> JSONResponse:
    """Show what waits to be published, applied or called, and why."""
    return answer(await operator.status())


@router.get("/lanes", responses=shown({"total": 16, "relays": []}))
async def show_lanes(operator: Reading) -> JSONResponse:
    """Show which relay owns which lane."""
    return answer(await operator.lanes())


@router.get("/partitions", responses=shown([{"name": "outbox_p20261126", "events": 10}]))
async def list_partitions(operator: Reading) -> JSONResponse:
    """List the days of the outbox table."""
    return answer(await operator.partitions())


@router.get("/queues", responses=shown([{"queue": "processor.orders", "ready": 0}]))
async def list_queues(operator: Reading) -> JSONResponse:
    """List the queues as RabbitMQ sees them, with arguments that differ from the declared ones."""
    return answer(await operator.queues())


@router.get("/doctor", responses=shown([{"level": "ok", "check": "tables", "fix": ""}]))
async def examine(operator: Reading) -> JSONResponse:
    """List what is wrong with the database and the broker, each with its fix."""
    return answer(await operator.doctor())


@router.get("/history", responses=shown({"items": [], "next": None}))
async def list_history(
    *,
    operator: Reading,
    actor: str | None = None,
    what: str | None = None,
    limit: Limit = 100,
    after: After = None,
) -> JSONResponse:
    """List who changed what, by command, console or HTTP, the newest first."""
    return answer(await operator.history(limit=limit, after=after, actor=actor, what=what))


@router.get("/controls", responses=shown([{"target": "processor.orders", "rate": 0}]))
async def list_controls(operator: Reading) -> JSONResponse:
    """List what is paused or throttled."""
    return answer(await operator.controls.list())


@router.post("/controls/pause", responses=shown([]))
async def pause(operator: ChangingOperator, body: Pause) -> JSONResponse:
    """Stop a queue, an event type or a relay. The answer lists all controls."""
    await operator.controls.pause(body.target, why=body.why, seconds=body.seconds)
    return answer(await operator.controls.list())


@router.post("/controls/throttle", responses=shown([]))
async def throttle(operator: ChangingOperator, body: Throttle) -> JSONResponse:
    """Let at most so many events a second pass in each process. The answer lists all controls."""
    controls = operator.controls
    await controls.throttle(body.target, body.rate, why=body.why, seconds=body.seconds)
    return answer(await controls.list())


@router.post("/controls/resume", responses=shown({"resumed": True}))
async def resume(operator: ChangingOperator, body: Controlled) -> JSONResponse:
    """End a pause or a throttle."""
    return answer({"resumed": await operator.controls.resume(body.target, note=body.why)})


@router.get("/tripped", responses=shown([{"consumer": "processor.orders", "probes": 1}]))
async def list_tripped(operator: Reading, consumer: str | None = None) -> JSONResponse:
    """List event types that wait because their dependency is away."""
    return answer(await operator.tripped.list(consumer))


@router.post("/tripped/reset", responses=shown({"types": ["order.created"]}))
async def reset_tripped(operator: ChangingOperator, body: Tripped) -> JSONResponse:
    """Handle tripped event types again now. The answer lists those that had tripped."""
    return answer({"types": await operator.tripped.reset(body.consumer, body.types)})


@router.get("/jobs", responses=shown({"items": [], "next": None}))
async def list_jobs(
    *,
    operator: Reading,
    kind: str | None = None,
    state: str | None = None,
    key: str | None = None,
    limit: Limit = 100,
    after: After = None,
) -> JSONResponse:
    """List jobs, the oldest first."""
    found = operator.jobs.list(kind=kind, state=state, key=key, limit=limit, after=after)
    return answer(await found)


@router.post("/jobs/redrive/preview", responses=PREVIEW)
async def preview_redrive_jobs(operator: Reading, body: SomeJobs) -> JSONResponse:
    """Say how many jobs a redrive would try now."""
    return answer(await operator.jobs.preview_redrive(kind=body.kind, key=body.key))


@router.post("/jobs/redrive", responses=shown({"jobs": 1}))
async def redrive_jobs(operator: ChangingOperator, body: RedriveJobs) -> JSONResponse:
    """Try failed jobs, and those between two attempts, now."""
    count = await operator.jobs.redrive(
        kind=body.kind, key=body.key, seen=body.preview, note=body.note
    )
    return answer({"jobs": count})


@router.post("/jobs/discard/preview", responses=PREVIEW)
async def preview_discard_job(operator: Reading, body: OneJob) -> JSONResponse:
    """Say whether this job can be discarded."""
    return answer(await operator.jobs.preview_discard(body.kind, body.key))


@router.post("/jobs/discard", responses=shown({"jobs": 1}))
async def discard_job(operator: ChangingOperator, body: DiscardJob) -> JSONResponse:
    """Give up a job for ever."""
    await operator.jobs.discard(body.kind, body.key, seen=body.preview, note=body.note)
    return answer({"jobs": 1})


@router.get("/streams", responses=shown([{"source": "service-orders", "aggregate_id": "42"}]))
async def find_streams(operator: Reading, aggregate_id: str) -> JSONResponse:
    """Find the streams of an aggregate's id, of whatever source and type."""
    return answer(await operator.streams.find(aggregate_id))


@router.get("/streams/events", responses=shown({"last": 3, "events": [], "positions": []}))
async def show_stream(
    *,
    operator: Reading,
    source: str,
    aggregate_type: str,
    aggregate_id: str,
    limit: Limit = 100,
    before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
) -> JSONResponse:
    """Show a stream's events at the producer, the newest first, and each consumer's position."""
    stream = Stream(source, aggregate_type, aggregate_id)
    return answer(await operator.streams.show(stream, limit=limit, before=before))


@router.post("/streams/baseline/preview", responses=PREVIEW)
async def preview_baseline(operator: Reading, body: Baseline) -> JSONResponse:
    """Say how many sequences a baseline passes over, or has take effect again."""
    streams = operator.streams
    return answer(await streams.preview_baseline(body.consumer, body.stream.stream, body.sequence))


@router.post("/streams/baseline", responses=shown({"sequence": 3}))
async def set_baseline(operator: ChangingOperator, body: SetBaseline) -> JSONResponse:
    """Let a consumer go on after this sequence, whatever it has applied of the stream."""
    await operator.streams.baseline(
        body.consumer, body.stream.stream, body.sequence, seen=body.preview, note=body.note
    )
    return answer({"sequence": body.sequence})


@router.post("/dead-letters/preview", responses=PREVIEW)
async def preview_dead_letters(operator: Reading, body: DeadLetters) -> JSONResponse:
    """Say how many dead letters of a queue there are."""
    return answer(await operator.broker.preview_dead_letters(body.queue))


@router.post("/dead-letters/move", responses=shown({"messages": 2}))
async def move_dead_letters(operator: ChangingOperator, body: MoveDeadLetters) -> JSONResponse:
    """Move the dead letters of a queue back into it."""
    moved = await operator.broker.move_dead_letters(body.queue, seen=body.preview, note=body.note)
    return answer({"messages": moved})

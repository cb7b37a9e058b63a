"""`/status`, `/history` and the like: the service as a whole, and its queues."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from outbox.operations_api.access import ChangingOperator, ReadingOperator
from outbox.operations_api.bodies import PREVIEW, After, Body, Changing, Limit, Name, answer, shown

router = APIRouter(tags=["service"])


class DeadLetters(Body):
    """The dead letters of a queue."""

    queue: Name


class MoveDeadLetters(DeadLetters, Changing):
    """Whose dead letters to move back into their queue."""


@router.get("/status", responses=shown({"outbox": None, "inbox": None, "jobs": None}))
async def show_status(operator: ReadingOperator) -> JSONResponse:
    """Show what waits to be published, applied or called, and why."""
    return answer(await operator.status())


@router.get("/lanes", responses=shown({"total": 16, "relays": []}))
async def show_lanes(operator: ReadingOperator) -> JSONResponse:
    """Show which relay owns which lane."""
    return answer(await operator.lanes())


@router.get("/partitions", responses=shown([{"name": "outbox_p20261126", "events": 10}]))
async def list_partitions(operator: ReadingOperator) -> JSONResponse:
    """List the days of the outbox table."""
    return answer(await operator.partitions())


@router.get("/queues", responses=shown([{"queue": "processor.orders", "ready": 0}]))
async def list_queues(operator: ReadingOperator) -> JSONResponse:
    """List the queues as RabbitMQ sees them, with arguments that differ from the declared ones."""
    return answer(await operator.queues())


@router.get("/doctor", responses=shown([{"level": "ok", "check": "tables", "fix": ""}]))
async def examine(operator: ReadingOperator) -> JSONResponse:
    """List what is wrong with the database and the broker, each with its fix."""
    return answer(await operator.doctor())


@router.get("/history", responses=shown({"items": [], "next": None}))
async def list_history(
    *,
    operator: ReadingOperator,
    actor: str | None = None,
    what: str | None = None,
    limit: Limit = 100,
    after: After = None,
) -> JSONResponse:
    """List who changed what, by command, console or HTTP, the newest first."""
    return answer(await operator.history(limit=limit, after=after, actor=actor, what=what))


@router.post("/dead-letters/preview", responses=PREVIEW)
async def preview_dead_letters(operator: ReadingOperator, body: DeadLetters) -> JSONResponse:
    """Say how many dead letters of a queue there are."""
    return answer(await operator.broker.preview_dead_letters(body.queue))


@router.post("/dead-letters/move", responses=shown({"messages": 2}))
async def move_dead_letters(operator: ChangingOperator, body: MoveDeadLetters) -> JSONResponse:
    """Move the dead letters of a queue back into it."""
    moved = await operator.broker.move_dead_letters(body.queue, seen=body.preview, note=body.note)
    return answer({"messages": moved})

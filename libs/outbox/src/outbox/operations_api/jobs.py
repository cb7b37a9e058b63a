"""`/jobs…`: calls to other systems."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from outbox.operations_api.access import ChangingOperator, ReadingOperator
from outbox.operations_api.bodies import PREVIEW, After, Body, Changing, Limit, Name, answer, shown

router = APIRouter(tags=["jobs"])


class SomeJobs(Body):
    """Jobs of a kind and with a key; all of them without either."""

    kind: str | None = None
    key: str | None = None


class RedriveJobs(SomeJobs, Changing):
    """Which jobs to try now."""


class OneJob(Body):
    """One job."""

    kind: Name
    key: Name


class DiscardJob(OneJob, Changing):
    """Which job to give up."""


@router.get("/jobs", responses=shown({"items": [], "next": None}))
async def list_jobs(
    *,
    operator: ReadingOperator,
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
async def preview_redrive_jobs(operator: ReadingOperator, body: SomeJobs) -> JSONResponse:
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
async def preview_discard_job(operator: ReadingOperator, body: OneJob) -> JSONResponse:
    """Say whether this job can be discarded."""
    return answer(await operator.jobs.preview_discard(body.kind, body.key))


@router.post("/jobs/discard", responses=shown({"jobs": 1}))
async def discard_job(operator: ChangingOperator, body: DiscardJob) -> JSONResponse:
    """Give up a job for ever."""
    await operator.jobs.discard(body.kind, body.key, seen=body.preview, note=body.note)
    return answer({"jobs": 1})

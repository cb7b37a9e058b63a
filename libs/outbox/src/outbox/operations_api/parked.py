"""`/parked…`: events that consumers have parked."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse
from pydantic import Field

from outbox.event import Stream
from outbox.inbox.parked_selection import ParkedSelection
from outbox.operations_api.access import ChangingOperator, ReadingOperator
from outbox.operations_api.bodies import (
    PREVIEW,
    After,
    Body,
    Changing,
    Limit,
    Name,
    Number,
    SelectionBody,
    StreamBody,
    answer,
    shown,
)

router = APIRouter(prefix="/parked", tags=["parked"])


class Chosen(Body):
    """Parked events of one consumer."""

    consumer: Name
    selection: SelectionBody = SelectionBody()


class ChosenSample(Chosen):
    """Parked events of one consumer, in at most so many streams."""

    limit: int | None = Field(
        default=None, ge=1, le=2**31, description="At most so many streams: a sample."
    )


class Redrive(ChosenSample, Changing):
    """Parked events to try now."""


class Discard(Chosen, Changing):
    """Parked events to give up."""


class Gap(Body):
    """Sequences that never arrived."""

    consumer: Name
    stream: StreamBody
    through: int | None = Field(
        default=None, ge=1, le=2**63 - 2, description="Without it up to the first that waits."
    )
    tail: bool = Field(default=False, description="Skip although no event waits beyond.")


class Skip(Gap, Changing):
    """Sequences to give up."""


class OneEvent(Body):
    """One parked event."""

    consumer: Name
    stream: StreamBody
    sequence: Number
    event_id: UUID


class Edit(OneEvent, Changing):
    """One parked event with its new body."""

    body: str = Field(description="JSON, as text.", examples=['{"total": "12.50"}'])


@router.get("/groups", responses=shown([{"consumer": "processor.orders", "streams": 3}]))
async def list_parked_groups(
    *,
    operator: ReadingOperator,
    consumer: str | None = None,
    reason: str | None = None,
    type: Annotated[list[str] | None, Query()] = None,
    error: str | None = None,
    limit: Limit = 100,
    offset: Annotated[int, Query(ge=0, le=100_000)] = 0,
) -> JSONResponse:
    """List what stops streams, by consumer, event type and cause; the most streams first."""
    chosen = ParkedSelection(reason=reason, types=type, error=error)
    found = await operator.parked.groups(chosen, consumer=consumer, limit=limit, offset=offset)
    return answer(found)


@router.get("", responses=shown({"items": [], "next": None}))
async def list_parked_events(
    *,
    operator: ReadingOperator,
    consumer: str | None = None,
    reason: str | None = None,
    type: Annotated[list[str] | None, Query()] = None,
    error: str | None = None,
    group: str | None = None,
    aggregate_id: str | None = None,
    limit: Limit = 100,
    after: After = None,
) -> JSONResponse:
    """List parked events without their bodies, by consumer, stream and sequence."""
    chosen = ParkedSelection(reason, type, error, group, aggregate_id)
    return answer(await operator.parked.list(consumer, chosen, limit=limit, after=after))


@router.get(
    "/events",
    responses=shown({"items": [{"sequence": 1, "reason": "failed", "body": "{}"}], "next": None}),
)
async def show_parked_events(
    *,
    operator: ReadingOperator,
    consumer: str,
    source: str,
    aggregate_type: str,
    aggregate_id: str,
    sequence: Annotated[int | None, Query(ge=0, le=2**63 - 1)] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="How many at most.")] = 100,
    after: After = None,
) -> JSONResponse:
    """Show the parked events of one stream with their bodies and errors.

    A page has fewer than `limit` where the bodies are large.
    """
    stream = Stream(source, aggregate_type, aggregate_id)
    found = operator.parked.show(consumer, stream, sequence, limit=limit, after=after)
    return answer(await found)


@router.post("/redrive/preview", responses=PREVIEW)
async def preview_redrive(operator: ReadingOperator, body: ChosenSample) -> JSONResponse:
    """Say what a redrive would try, and how many events wait behind."""
    selection = body.selection.selection
    preview = operator.parked.preview_redrive(body.consumer, selection, limit=body.limit)
    return answer(await preview)


@router.post("/redrive", responses=shown({"streams": 3}))
async def redrive_parked(operator: ChangingOperator, body: Redrive) -> JSONResponse:
    """Try the first event of each selected stream now; the others follow in order."""
    streams = await operator.parked.redrive(
        body.consumer,
        body.selection.selection,
        seen=body.preview,
        limit=body.limit,
        note=body.note,
    )
    return answer({"streams": streams})


@router.post("/discard/preview", responses=PREVIEW)
async def preview_discard(operator: ReadingOperator, body: Chosen) -> JSONResponse:
    """Say what a discard would give up."""
    selection = body.selection.selection
    return answer(await operator.parked.preview_discard(body.consumer, selection))


@router.post("/discard", responses=shown({"events": 3}))
async def discard_parked(operator: ChangingOperator, body: Discard) -> JSONResponse:
    """Give up all selected events for ever; their streams go on. A selection is needed."""
    chosen = body.selection.selection
    events = await operator.parked.discard(body.consumer, chosen, seen=body.preview, note=body.note)
    return answer({"events": events})


@router.post("/skip/preview", responses=PREVIEW)
async def preview_skip(operator: ReadingOperator, body: Gap) -> JSONResponse:
    """Say how many sequences a skip would give up."""
    preview = operator.parked.preview_skip(
        body.consumer, body.stream.stream, through=body.through, tail=body.tail
    )
    return answer(await preview)


@router.post("/skip", responses=shown({"first": 4, "last": 6}))
async def skip_missing(operator: ChangingOperator, body: Skip) -> JSONResponse:
    """Do without events that never arrived, so that those beyond the gap are applied."""
    first, last = await operator.parked.skip(
        body.consumer,
        body.stream.stream,
        through=body.through,
        tail=body.tail,
        seen=body.preview,
        note=body.note,
    )
    return answer({"first": first, "last": last})


@router.post("/edit/preview", responses=PREVIEW)
async def preview_edit(operator: ReadingOperator, body: OneEvent) -> JSONResponse:
    """Say how many events wait behind the one that is to be edited."""
    preview = operator.parked.preview_edit(
        body.consumer, body.stream.stream, body.sequence, body.event_id
    )
    return answer(await preview)


@router.post("/edit", responses=shown({"sequence": 1, "body": "{}"}))
async def edit_parked(operator: ChangingOperator, body: Edit) -> JSONResponse:
    """Give a parked event another body and try it now. The answer is the event as it was."""
    event = await operator.parked.edit(
        body.consumer,
        body.stream.stream,
        body.sequence,
        body.event_id,
        body.body.encode("utf-8", "surrogatepass"),
        seen=body.preview,
        note=body.note,
    )
    return answer(event)

"""`/streams…`: one aggregate's events, positions and baseline."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import JSONResponse

from outbox.event import Stream
from outbox.operations_api.access import ChangingOperator, ReadingOperator
from outbox.operations_api.bodies import (
    PREVIEW,
    Body,
    Changing,
    Limit,
    Name,
    Number,
    StreamBody,
    answer,
    shown,
)

router = APIRouter(tags=["streams"])


class Baseline(Body):
    """Where a consumer goes on in a stream."""

    consumer: Name
    stream: StreamBody
    sequence: Number


class SetBaseline(Baseline, Changing):
    """A baseline to set."""


@router.get("/streams", responses=shown([{"source": "service-orders", "aggregate_id": "42"}]))
async def find_streams(operator: ReadingOperator, aggregate_id: str) -> JSONResponse:
    """Find the streams of an aggregate's id, of whatever source and type."""
    return answer(await operator.streams.find(aggregate_id))


@router.get("/streams/events", responses=shown({"last": 3, "events": [], "positions": []}))
async def show_stream(
    *,
    operator: ReadingOperator,
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
async def preview_baseline(operator: ReadingOperator, body: Baseline) -> JSONResponse:
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

"""`/unpublished…`, `/replay…`, `/scheduled…`: the events of the outbox table."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from pydantic import AwareDatetime, Field

from outbox.operations.replay import SLOWEST, Selection
from outbox.operations_api.access import ChangingOperator, ReadingOperator, ReplayingOperator
from outbox.operations_api.bodies import (
    PREVIEW,
    After,
    Body,
    Changing,
    Limit,
    Name,
    answer,
    shown,
)

unpublished = APIRouter(prefix="/unpublished", tags=["unpublished"])
replay = APIRouter(prefix="/replay", tags=["replay"])
scheduled = APIRouter(prefix="/scheduled", tags=["scheduled"])


class Ids(Body):
    """Events of the outbox table."""

    event_ids: list[UUID] = Field(min_length=1, max_length=1_000)


class ChangedIds(Ids, Changing):
    """Events of the outbox table to change."""


class Aggregate(Body):
    """An aggregate, whatever its source."""

    type: Name = Field(examples=["order"])
    id: Name = Field(examples=["42"])


class Replayed(Body):
    """Published events: at least one of since, aggregate and type is needed."""

    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    aggregate: Aggregate | None = None
    type: str | None = Field(default=None, examples=["order.created"])

    @property
    def selection(self) -> Selection:
        """The same for an operator."""
        aggregate = (self.aggregate.type, self.aggregate.id) if self.aggregate else None
        return Selection(self.since, self.until, aggregate, self.type)


class Replay(Replayed, Changing):
    """Which events to publish again, and how fast."""

    per_second: float | None = Field(
        default=None,
        ge=SLOWEST,
        allow_inf_nan=False,
        description="At most so many events a second.",
    )


class Key(Body):
    """A scheduled event."""

    source: Name = Field(examples=["service-orders"])
    key: Name = Field(examples=["close ticket 42"])


class ChangedKey(Key, Changing):
    """A scheduled event to change."""


class Moved(ChangedKey):
    """A scheduled event and its new time."""

    due_at: AwareDatetime


@unpublished.get("", responses=shown({"items": [], "next": None}))
async def list_unpublished(
    *, operator: ReadingOperator, limit: Limit = 100, after: After = None
) -> JSONResponse:
    """List events that are parked, or that no queue is bound for, the oldest first."""
    return answer(await operator.unpublished.list(limit=limit, after=after))


@unpublished.post("/redrive/preview", responses=PREVIEW)
async def preview_redrive_unpublished(operator: ReadingOperator, body: Ids) -> JSONResponse:
    """Say how many of these events a redrive would publish."""
    return answer(await operator.unpublished.preview_redrive(body.event_ids))


@unpublished.post("/redrive", responses=shown({"event_ids": []}))
async def redrive_unpublished(operator: ChangingOperator, body: ChangedIds) -> JSONResponse:
    """Publish parked events as they are."""
    changed = await operator.unpublished.redrive(body.event_ids, seen=body.preview, note=body.note)
    return answer({"event_ids": changed})


@unpublished.post("/discard/preview", responses=PREVIEW)
async def preview_discard_unpublished(operator: ReadingOperator, body: Ids) -> JSONResponse:
    """Say how many of these events a discard would replace by tombstones."""
    return answer(await operator.unpublished.preview_discard(body.event_ids))


@unpublished.post("/discard", responses=shown({"event_ids": []}))
async def discard_unpublished(operator: ChangingOperator, body: ChangedIds) -> JSONResponse:
    """Replace events by tombstones. The bodies are lost."""
    changed = await operator.unpublished.discard(body.event_ids, seen=body.preview, note=body.note)
    return answer({"event_ids": changed})


@replay.post("/preview", responses=shown({"total": {"events": 12}, "types": []}))
async def preview_replay(operator: ReadingOperator, body: Replayed) -> JSONResponse:
    """Count what a replay would publish again, by type. `total` is what `seen` takes."""
    return answer(await operator.replay.preview(body.selection))


@replay.post("", responses=shown({"events": 12}))
async def replay_events(operator: ReplayingOperator, body: Replay) -> JSONResponse:
    """Publish events again, at most so many a second. The answer comes when all are done.

    The history shows meanwhile how far it has come.
    """
    events = await operator.replay.run(
        body.selection, seen=body.preview, per_second=body.per_second, note=body.note
    )
    return answer({"events": events})


@scheduled.get("", responses=shown({"items": [], "next": None}))
async def list_scheduled(
    *,
    operator: ReadingOperator,
    prefix: str | None = None,
    type: str | None = None,
    limit: Limit = 100,
    after: After = None,
) -> JSONResponse:
    """List scheduled events, the next due first; only keys that begin so, or of one type."""
    return answer(await operator.scheduled.list(limit=limit, after=after, prefix=prefix, type=type))


@scheduled.post("/preview", responses=PREVIEW)
async def preview_scheduled(operator: ReadingOperator, body: Key) -> JSONResponse:
    """Say which scheduled event a change would change."""
    return answer(await operator.scheduled.preview(body.source, body.key))


@scheduled.post("/send-now", responses=shown({"key": "close ticket 42"}))
async def send_now(operator: ChangingOperator, body: ChangedKey) -> JSONResponse:
    """Let a scheduled event be due now. The answer is the event as it was."""
    event = await operator.scheduled.send_now(
        body.source, body.key, seen=body.preview, note=body.note
    )
    return answer(event)


@scheduled.post("/move", responses=shown({"key": "close ticket 42"}))
async def move_scheduled(operator: ChangingOperator, body: Moved) -> JSONResponse:
    """Let a scheduled event be due at another time. The answer is the event as it was."""
    due_at: datetime = body.due_at
    event = await operator.scheduled.move(
        body.source, body.key, due_at, seen=body.preview, note=body.note
    )
    return answer(event)


@scheduled.post("/unschedule", responses=shown({"key": "close ticket 42"}))
async def unschedule(operator: ChangingOperator, body: ChangedKey) -> JSONResponse:
    """Remove a scheduled event: it never becomes one. The answer is the event as it was."""
    event = await operator.scheduled.unschedule(
        body.source, body.key, seen=body.preview, note=body.note
    )
    return answer(event)

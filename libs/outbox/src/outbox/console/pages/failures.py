"""Failures: groups of what stops streams, one group, one event; redrive, discard, edit."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query
from psycopg.errors import UndefinedTable
from starlette.responses import HTMLResponse

from outbox.console.actions import register_action
from outbox.console.bodies import editable, shown
from outbox.console.page import Page
from outbox.console.pages.failure_actions import Discard, Edit, Parked, Redrive, Which
from outbox.console.unusable import reason_of
from outbox.console.view import CurrentView, View
from outbox.event import Stream
from outbox.inbox.parked_rows import ParkedEvent, ParkedGroup
from outbox.inbox.parked_selection import ParkedSelection
from outbox.operations.operator import Operator

GROUPS = 25
"""So many groups of one service are on a page."""
EVENTS = 50

router = APIRouter()
PAGE = Page("Failures", "failures", router)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The filters; an empty one does not limit."""

    service: str = ""
    consumer: str = ""
    type: str = ""
    error: str = ""

    @property
    def selection(self) -> ParkedSelection:
        """The same for the operations."""
        return ParkedSelection(types=[self.type] if self.type else None, error=self.error or None)


@dataclass(frozen=True, slots=True)
class Found:
    """The groups of one service, or why they cannot be read."""

    service: str
    groups: Sequence[ParkedGroup]
    next: str | None = None
    problem: str = ""


@router.get("/failures", name="failures")
async def failures(
    view: CurrentView,
    wanted: Annotated[Wanted, Depends()],
    page: Annotated[int, Query(ge=0, le=10_000)] = 0,
) -> HTMLResponse:
    names = [wanted.service] if wanted.service else list(view.services)
    found = await asyncio.gather(*(_groups(view, name, wanted, page) for name in names))
    return view.render("failures.html", services=found, wanted=wanted)


async def _groups(view: View, service: str, wanted: Wanted, page: int) -> Found:
    try:
        async with view.operator(service) as operator:
            groups = await operator.parked.groups(
                wanted.selection,
                consumer=wanted.consumer or None,
                limit=GROUPS + 1,
                offset=page * GROUPS,
            )
    except UndefinedTable:
        return Found(service, [])  # it consumes nothing
    except Exception as problem:
        return Found(service, [], problem=reason_of(problem))
    more = len(groups) > GROUPS
    query = {
        "service": service,
        "consumer": wanted.consumer or None,
        "type": wanted.type or None,
        "error": wanted.error or None,
        "page": page + 1,
    }
    return Found(service, groups[:GROUPS], view.path_for("failures", query) if more else None)


@router.get("/failures/{service}/group", name="group")
async def group(view: CurrentView, service: str, key: Which, after: str = "") -> HTMLResponse:
    async with view.operator(service) as operator:
        groups = await operator.parked.groups(key.selection, consumer=key.consumer, limit=1)
        events = await operator.parked.list(
            key.consumer, key.selection, limit=EVENTS, after=after or None
        )
        found = groups[0] if groups else None
        sample = await _sample(operator, found) if found else None
    following = {**key.query, "after": events.next} if events.next else None
    return view.render(
        "group.html",
        service=service,
        key=key,
        group=found,
        sample=sample,
        body=shown(_raw(sample)) if sample else "",
        events=events,
        next=view.path_for("group", following, service=service) if following else None,
        event_query=event_query,
        stream_query=stream_query,
    )


async def _sample(operator: Operator, group: ParkedGroup) -> ParkedEvent | None:
    listed = await operator.parked.list(
        group.consumer, ParkedSelection(event_id=group.sample), limit=1
    )
    if not listed.items:
        return None
    found = await operator.parked.show(
        group.consumer, listed.items[0].stream, group.sample_sequence
    )
    return next((event for event in found.items if event.event_id == group.sample), None)


@router.get("/failures/{service}/stream", name="stream_parked")
async def stream_parked(
    view: CurrentView, service: str, key: Which, after: str = ""
) -> HTMLResponse:
    async with view.operator(service) as operator:
        events = await operator.parked.list(
            key.consumer, key.selection, limit=EVENTS, after=after or None
        )
    following = {**key.query, "after": events.next}
    return view.render(
        "stream_parked.html",
        service=service,
        key=key,
        events=events,
        next=view.path_for("stream_parked", following, service=service) if events.next else None,
        event_query=event_query,
        stream_query=stream_query,
    )


@router.get("/failures/{service}/event", name="parked_event")
async def parked_event(view: CurrentView, service: str, key: Which) -> HTMLResponse:
    return view.render("parked_event_page.html", **await _event(view, service, key))


@router.get("/failures/{service}/edit", name="edit")
async def edit(view: CurrentView, service: str, key: Which) -> HTMLResponse:
    found = await _event(view, service, key)
    found["body"] = editable(_raw(found["sample"]))
    back = view.path_for("parked_event", key.query, service=service)
    return view.render("edit.html", **found, back=back)


async def _event(view: View, service: str, key: Parked) -> dict[str, Any]:
    async with view.operator(service) as operator:
        sample = await key.find(operator)
    if sample is None:
        raise HTTPException(404, "This event is not parked any more: it was applied or discarded.")
    return {
        "service": service,
        "sample": sample,
        "body": shown(_raw(sample)),
        "event_query": event_query,
        "stream_query": stream_query,
    }


def _raw(event: ParkedEvent) -> bytes:
    return bytes(event.body or b"")


def event_query(event: ParkedEvent) -> dict[str, object]:
    """The query that names one event."""
    return {
        "consumer": event.consumer,
        **stream_query(event.stream),
        "sequence": event.sequence,
        "event": event.event_id,
    }


def stream_query(stream: Stream) -> dict[str, object]:
    """The query that names a stream."""
    return {
        "source": stream.source,
        "aggregate_type": stream.aggregate_type,
        "aggregate_id": stream.aggregate_id,
    }


register_action(router, "/failures/{service}/edit", "edit_body", Edit.of, has_form=True)
register_action(router, "/failures/{service}/redrive", "redrive", Redrive.of)
register_action(router, "/failures/{service}/discard", "discard", Discard.of)

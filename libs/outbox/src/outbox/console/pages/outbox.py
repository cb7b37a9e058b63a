"""Outbox: lanes and their owners, what is not published and why, partitions; replay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Self
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from outbox.console.actions import Proposal, register_action
from outbox.console.page import Page
from outbox.console.pages.service_choice import Service
from outbox.console.view import CurrentView, View
from outbox.errors import InvalidSetting
from outbox.inbox.parked_rows import Preview
from outbox.operations.operator import Operator
from outbox.operations.operator.unpublished import SEARCHED
from outbox.operations.partitions import days_covered
from outbox.operations.replay import SLOWEST, Selection
from outbox.plural import counted

ROWS = 50

router = APIRouter()
PAGE = Page("Outbox", "outbox", router)


@router.get("/outbox", name="outbox")
async def outbox(view: CurrentView, service: Service, after: str = "") -> HTMLResponse:
    async with view.operator(service) as operator:
        page = await operator.unpublished.list(limit=ROWS, after=after or None)
        ages = await operator.unpublished.ages()
        partitions = await operator.partitions()
        lanes = await operator.lanes()
    query = {"service": service, "after": page.next}
    return view.render(
        "outbox.html",
        service=service,
        failing=page.items,
        next=view.path_for("outbox", query) if page.next else None,
        ages=ages,
        counted_to=SEARCHED,
        partitions=partitions,
        days=days_covered(partitions, datetime.now(UTC).date()),
        lanes=lanes,
    )


Ids = Annotated[list[UUID], Query(alias="id", min_length=1, max_length=ROWS)]


@dataclass(frozen=True, slots=True)
class _OfEvents:
    ids: tuple[UUID, ...]

    @classmethod
    def of(cls, ids: Ids) -> Self:
        """From a query."""
        return cls(tuple(ids))

    def back(self, view: View, service: str) -> str:
        """See `Action`."""
        return view.path_for("outbox", {"service": service})


@dataclass(frozen=True, slots=True)
class RedriveParked(_OfEvents):
    """Have parked events published as they are."""

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        seen = await operator.unpublished.preview_redrive(self.ids)
        events = counted(seen.events, "event")
        says = (
            f"{events} of {counted(seen.streams, 'stream')}, parked because the broker refused"
            f" {'it, goes' if seen.events == 1 else 'them, go'} to it once more, unchanged.",
            "What waits behind them in their streams follows once they are confirmed.",
            "Events that came back for want of a queue are retried by themselves.",
        )
        button = f"Redrive {events}" if seen.events else ""
        return Proposal("Redrive parked events", says, button, seen)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        changed = await operator.unpublished.redrive(self.ids, seen=seen, note=note)
        return f"{counted(len(changed), 'event is', 'events are')} published again."


@dataclass(frozen=True, slots=True)
class DiscardUnpublished(_OfEvents):
    """Replace events that cannot be published by tombstones."""

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        seen = await operator.unpublished.preview_discard(self.ids)
        events = counted(seen.events, "event")
        says = (
            f"{events} of {counted(seen.streams, 'stream')}"
            f" {'is' if seen.events == 1 else 'are'} replaced by tombstones under the same"
            " sequences: consumers pass them without an effect.",
            "The bodies are lost.",
        )
        button = f"Discard {events} for ever" if seen.events else ""
        title = "Discard unpublished events"
        return Proposal(title, says, button, seen, is_final=True)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        changed = await operator.unpublished.discard(self.ids, seen=seen, note=note)
        return f"{counted(len(changed), 'event is', 'events are')} replaced by tombstones."


@dataclass(frozen=True, slots=True)
class Replay:
    """Publish events of the outbox table again."""

    selection: Selection
    per_second: float

    @classmethod
    def of(
        cls,
        *,
        since: str = "",
        until: str = "",
        aggregate_type: str = "",
        aggregate_id: str = "",
        type: str = "",
        per_second: Annotated[float, Query(ge=SLOWEST, le=100_000, allow_inf_nan=False)] = 100.0,
    ) -> Replay:
        """From a query; times without a zone are UTC, as the form says."""
        aggregate = (aggregate_type, aggregate_id) if aggregate_type and aggregate_id else None
        chosen = Selection(_time("since", since), _time("until", until), aggregate, type or None)
        return cls(chosen, per_second)

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        preview = await operator.replay.preview(self.selection)
        seen, more = preview.total, " or more" if preview.is_more else ""
        by_type = (
            f"{counted(one.events, 'event')} of {one.type}, {counted(one.aggregates, 'aggregate')},"
            f" committed from {one.oldest:%Y-%m-%d %H:%M:%S} to {one.newest:%Y-%m-%d %H:%M:%S}"
            for one in preview.types
        )
        seconds = math.ceil(seen.events / self.per_second)
        begins = preview.history_from
        says = (
            f"{counted(seen.events, 'event')}{more} go out again, at most {self.per_second:g} a"
            f" second: about {counted(seconds, 'second')}{more}.",
            *by_type,
            "An event that has had its effect has no second one: its consumers know it.",
            "New events of the same streams are not delayed.",
            *([f"Nothing before {begins:%Y-%m-%d %H:%M:%S} is left."] if begins else []),
        )
        events = f"{counted(seen.events, 'event')}{more}"
        return Proposal("Replay", says, f"Replay {events}" if seen.events else "", seen)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        count = await operator.replay.run(
            self.selection, seen=seen, per_second=self.per_second, note=note
        )
        return f"{counted(count, 'event goes', 'events go')} out again."

    def back(self, view: View, service: str) -> str:
        """See `Action`."""
        return view.path_for("outbox", {"service": service})


def _time(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidSetting(name, "is no time such as 2026-11-26T19:30") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


register_action(router, "/outbox/{service}/redrive", "redrive_parked", RedriveParked.of)
register_action(router, "/outbox/{service}/discard", "discard_unpublished", DiscardUnpublished.of)
register_action(router, "/outbox/{service}/replay", "replay", Replay.of)

"""Scheduled: what becomes an event when, by key; send it now, move it, unschedule it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from outbox.console.actions import Proposal, register_action
from outbox.console.page import Page
from outbox.console.pages.service_choice import Service
from outbox.console.view import CurrentView, View
from outbox.inbox.parked_rows import Preview
from outbox.operations.operator import Operator

ROWS = 50

router = APIRouter()
PAGE = Page("Scheduled", "scheduled", router)


@router.get("/scheduled", name="scheduled")
async def scheduled(
    view: CurrentView,
    service: Service,
    prefix: str = "",
    type: str = "",
    after: str = "",
) -> HTMLResponse:
    async with view.operator(service) as operator:
        page = await operator.scheduled.list(
            limit=ROWS, after=after or None, prefix=prefix or None, type=type or None
        )
    query = {"service": service, "prefix": prefix or None, "type": type or None}
    return view.render(
        "scheduled.html",
        service=service,
        events=page.items,
        prefix=prefix,
        type=type,
        next=view.path_for("scheduled", {**query, "after": page.next}) if page.next else None,
    )


@router.get("/scheduled/{service}/event", name="scheduled_event")
async def scheduled_event(view: CurrentView, service: str, source: str, key: str) -> HTMLResponse:
    async with view.operator(service) as operator:
        event = await operator.scheduled.show(source, key)
    return view.render("scheduled_event.html", service=service, event=event)


@dataclass(frozen=True, slots=True)
class _OfOneEvent:
    source: str
    key: str

    def back(self, view: View, service: str) -> str:
        """See `Action`."""
        return view.path_for("scheduled", {"service": service})


@dataclass(frozen=True, slots=True)
class SendNow(_OfOneEvent):
    """Let it be due now."""

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        event = await operator.scheduled.show(self.source, self.key)
        seen = await operator.scheduled.preview(self.source, self.key)
        says = (
            f"{event.type} of {event.stream} is published at once, instead of at"
            f" {event.due_at.isoformat()}.",
            "It gets the next sequence of its stream, so what waits there comes before it.",
        )
        return Proposal(f"Send {event.key} now", says, "Send it now", seen, is_final=True)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        await operator.scheduled.send_now(self.source, self.key, seen=seen, note=note)
        return f"{self.key} is due now; a relay publishes it."


@dataclass(frozen=True, slots=True)
class Unschedule(_OfOneEvent):
    """Remove it."""

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        event = await operator.scheduled.show(self.source, self.key)
        seen = await operator.scheduled.preview(self.source, self.key)
        says = (
            f"{event.type} of {event.stream} never becomes an event.",
            "It has no sequence yet, so it leaves no gap and nothing waits for it.",
        )
        return Proposal(
            f"Unschedule {event.key}", says, "Unschedule it for ever", seen, is_final=True
        )

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        await operator.scheduled.unschedule(self.source, self.key, seen=seen, note=note)
        return f"{self.key} is unscheduled."


@dataclass(frozen=True, slots=True)
class Move(_OfOneEvent):
    """Let it be due at another time."""

    to: datetime

    @classmethod
    def of(cls, source: str, key: str, to: datetime) -> Move:
        """From a query. A time without a zone is UTC, as the form says."""
        return cls(source, key, to if to.tzinfo else to.replace(tzinfo=UTC))

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        event = await operator.scheduled.show(self.source, self.key)
        seen = await operator.scheduled.preview(self.source, self.key)
        says = (
            f"{event.type} of {event.stream} is due at {self.to.isoformat()}, instead of at"
            f" {event.due_at.isoformat()}.",
        )
        return Proposal(f"Move {event.key}", says, "Move it", seen)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        await operator.scheduled.move(self.source, self.key, self.to, seen=seen, note=note)
        return f"{self.key} is due at {self.to.isoformat()}."


register_action(router, "/scheduled/{service}/send", "send_now", SendNow)
register_action(router, "/scheduled/{service}/unschedule", "unschedule", Unschedule)
register_action(router, "/scheduled/{service}/move", "move", Move.of)

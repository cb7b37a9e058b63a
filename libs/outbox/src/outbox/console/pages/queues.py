"""Queues: what the broker sees of each queue; move dead letters back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fastapi import APIRouter
from starlette.responses import HTMLResponse
from yarl import URL

from outbox.console.actions import Proposal, register_action
from outbox.console.page import Page
from outbox.console.unusable import reason_of
from outbox.console.view import CurrentView, View
from outbox.inbox.parked_rows import Preview
from outbox.operations.operator import Operator
from outbox.operations.operator.queues import QueueView
from outbox.plural import counted

router = APIRouter()
PAGE = Page("Queues", "queues", router)


@dataclass(frozen=True, slots=True)
class Found:
    """The queues that one service consumes; `problem` says why the broker is not asked."""

    service: str
    queues: list[QueueView] = field(default_factory=list)
    ui: str | None = None
    problem: str = ""


@router.get("/queues", name="queues")
async def queues(view: CurrentView) -> HTMLResponse:
    found = await asyncio.gather(*(_queues(view, name) for name in view.services))
    return view.render("queues.html", services=found)


async def _queues(view: View, name: str) -> Found:
    service = view.service(name)
    try:
        async with view.operator(name) as operator:
            listed = await operator.queues()
    except Exception as problem:
        return Found(name, problem=reason_of(problem))
    own = service.application.queues if service.application else ()
    listed = [one for one in listed if not own or one.queue in own]
    return Found(name, listed, _without_password(service.management_url))


def _without_password(management_url: str | None) -> str | None:
    """The address of RabbitMQ's own pages: the management API's without its login."""
    return str(URL(management_url).with_user(None)) if management_url else None


@dataclass(frozen=True, slots=True)
class MoveDeadLetters:
    """Let dead letters be consumed again."""

    queue: str

    async def propose(self, operator: Operator) -> Proposal:
        """See `Action`."""
        seen = await operator.broker.preview_dead_letters(self.queue)
        letters = counted(seen.events, "dead letter")
        says = (
            f"{letters} of {self.queue}.dead {'goes' if seen.events == 1 else 'go'} to the end of"
            f" {self.queue}, where {seen.followers:,} are ready.",
            "What its consumer still cannot attribute to a stream comes back as a dead letter.",
        )
        button = f"Move {letters} back" if seen.events else ""
        return Proposal("Move dead letters back", says, button, seen)

    async def run(self, operator: Operator, seen: Preview | None, note: str) -> str:
        """See `Action`."""
        count = await operator.broker.move_dead_letters(self.queue, seen=seen, note=note)
        return f"{counted(count, 'dead letter is', 'dead letters are')} back in {self.queue}."

    def back(self, view: View, service: str) -> str:  # noqa: ARG002 the page has all services
        """See `Action`."""
        return view.path_for("queues")


register_action(router, "/queues/{service}/dead-letters", "move_dead_letters", MoveDeadLetters)

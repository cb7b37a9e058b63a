"""What waits in each service, and what needs a person."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import psycopg
from fastapi import APIRouter
from starlette.responses import HTMLResponse

from outbox.console.page import Page
from outbox.console.view import CurrentView, View
from outbox.losses import one_line
from outbox.operations.status import COUNTED_TO, Status, status

router = APIRouter()
PAGE = Page("Overview", "overview", router)


@dataclass(frozen=True, slots=True)
class ServiceState:
    """One service; `problem` says why there is no status."""

    name: str
    status: Status | None = None
    problem: str | None = None


@router.get("/", name="overview")
async def overview(view: CurrentView) -> HTMLResponse:
    states = await asyncio.gather(*(_state(view, name) for name in view.services))
    return view.render("overview.html", states=states, counted_to=COUNTED_TO)


async def _state(view: View, name: str) -> ServiceState:
    """One database that is away hides nothing of the others."""
    try:
        async with view.database(name) as connection:
            return ServiceState(name, await status(connection))
    except psycopg.Error as problem:
        return ServiceState(name, problem=one_line(problem))

"""Operations: who did what when, in each service, the newest first."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import HTMLResponse

from outbox.console.page import Page
from outbox.console.pages.service_choice import Service
from outbox.console.view import CurrentView

ROWS = 50

router = APIRouter()
PAGE = Page("Operations", "operations", router)


@router.get("/operations", name="operations")
async def operations(
    view: CurrentView, service: Service, actor: str = "", what: str = "", after: str = ""
) -> HTMLResponse:
    async with view.operator(service) as operator:
        page = await operator.history(
            limit=ROWS, after=after or None, actor=actor or None, what=what or None
        )
    query = {"service": service, "actor": actor or None, "what": what or None}
    return view.render(
        "operations.html",
        service=service,
        rows=page.items,
        actor=actor,
        what=what,
        next=view.path_for("operations", {**query, "after": page.next}) if page.next else None,
    )

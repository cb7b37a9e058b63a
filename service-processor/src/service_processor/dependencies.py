"""What endpoints ask for by type; `bootstrap` puts it on the application.

All are coroutines, though none waits: FastAPI sends plain functions to a thread, one hop each.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

import outbox
from service_processor.seating.resources import SeatingResources


async def _work(request: Request) -> outbox.Work:
    work: outbox.Work = request.app.state.work
    return work


Work = Annotated[outbox.Work, Depends(_work)]


async def _seats(request: Request, work: Work) -> SeatingResources:
    """One per process: it remembers what never changes."""
    state = request.app.state
    if not hasattr(state, "seating"):
        state.seating = SeatingResources(work)
    seating: SeatingResources = state.seating
    return seating


async def _default_timezone(request: Request) -> str:
    zone: str = request.app.state.default_timezone
    return zone


Seats = Annotated[SeatingResources, Depends(_seats)]
DefaultTimezone = Annotated[str, Depends(_default_timezone)]

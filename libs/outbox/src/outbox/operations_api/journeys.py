"""`/journey…`: the way of a request, as far as this service's database knows it."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import JSONResponse

from outbox.operations_api.access import ReadingOperator
from outbox.operations_api.bodies import Limit, answer, shown

router = APIRouter(tags=["journey"])


@router.get("/journey", responses=shown({"id": "42", "events": [], "jobs": [], "scheduled": []}))
async def show_journey(operator: ReadingOperator, id: str) -> JSONResponse:
    """Show all that is known under the id of an aggregate, an event, a request or a trace."""
    return answer(await operator.journey(id))


@router.get("/journey/slowest", responses=shown([{"consumer": "shop.orders", "seconds": 1.5}]))
async def list_slowest(operator: ReadingOperator, limit: Limit = 20) -> JSONResponse:
    """List the events of the last hour that took the longest from their commit to their effect."""
    return answer(await operator.slowest(limit=limit))


@router.get("/journey/search", responses=shown([{"id": "42", "kind": "order"}]))
async def find_journeys(operator: ReadingOperator, text: str) -> JSONResponse:
    """Find what a text names, or aggregates whose id begins with it."""
    return answer(await operator.search(text))

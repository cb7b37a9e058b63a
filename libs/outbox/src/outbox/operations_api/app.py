"""The application of the HTTP operations, to be mounted into another one at `/ops/v1`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI

from outbox import __version__
from outbox.operations_api import controls, jobs, journeys, outbox_table, parked, service, streams
from outbox.operations_api.access import Access, OperatedService
from outbox.operations_api.problems import MEDIA_TYPE, install_problems
from outbox.operations_api.tokens import Tokens

DESCRIPTION = """An operator's verbs, for programs. A change of events or jobs has a preview. Send
its answer back as `seen`: a change that would move something else by now is refused with 409, and
nothing happens. Every change is in the history. Errors are `application/problem+json` (RFC
9457)."""

_PROBLEM = {"description": "A problem", "content": {MEDIA_TYPE: {"schema": {"type": "object"}}}}
_WHY = {
    401: "no token, or one that is not known",
    403: "a viewer changes nothing",
    404: "there is no such thing",
    409: "changed since it was seen (`before`, `now`), or somebody is at it (`by`, `since`)",
    422: "the request is not as it should be",
    503: "the database or the broker does not answer",
}


def build_operations_app(operated: OperatedService, tokens: Tokens) -> FastAPI:
    """The operations of one service. Without tokens every call is answered with 401."""
    app = FastAPI(
        title=f"{operated.name} operations",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.access = Access(operated, tokens)
    install_problems(app)
    for router in (
        service.router,
        controls.router,
        jobs.router,
        streams.router,
        journeys.router,
        parked.router,
        outbox_table.unpublished,
        outbox_table.replay,
        outbox_table.scheduled,
    ):
        _include(app, router)
    return app


def _include(app: FastAPI, router: APIRouter) -> None:
    responses: dict[int | str, dict[str, Any]] = {
        status: {**_PROBLEM, "description": why} for status, why in _WHY.items()
    }
    app.include_router(router, responses=responses)

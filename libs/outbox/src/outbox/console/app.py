"""Puts the console together."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import psycopg
from aio_pika.exceptions import AMQPError
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.staticfiles import StaticFiles
from psycopg.errors import UndefinedTable
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.responses import JSONResponse, Response

from outbox.console import login
from outbox.console.access.forms import refuse_forged
from outbox.console.access.guard import HEALTH_PATHS, Guard
from outbox.console.access.rules import Access
from outbox.console.background import Background
from outbox.console.edge import Edge
from outbox.console.pages import PAGES
from outbox.console.rendering import error_page
from outbox.console.samples import Samples, measure_of
from outbox.console.services import ConsoleService
from outbox.console.unusable import reason_of
from outbox.console.view import view_of
from outbox.errors import InvalidSetting, NotThere, OutboxError
from outbox.losses import one_line
from outbox.rabbitmq.management_api import ManagementFailed

logger = logging.getLogger(__name__)


def build_console(services: Iterable[ConsoleService], access: Access) -> FastAPI:
    """The console of these services, alone or mounted: `app.mount("/console", build_console(…))`.

    It remembers logins in memory, so one process serves it. Raises `InvalidSetting` for no service,
    or two of one name.
    """
    given = list(services)
    known = {service.name: service for service in given}
    if not known or len(known) < len(given):
        raise InvalidSetting("services", "are one or more, each with a name of its own")
    app = FastAPI(
        title="outbox console",
        openapi_url=None,
        dependencies=[Depends(refuse_forged)],
        redirect_slashes=False,
        lifespan=_running,
    )
    app.state.services, app.state.access, app.state.pages = known, access, PAGES
    app.state.samples = Samples({name: measure_of(service) for name, service in known.items()})
    app.state.background = Background()
    app.add_middleware(Guard, access=access)
    app.add_middleware(Edge)  # the last one added is the outermost
    app.mount("/static", StaticFiles(packages=[("outbox.console", "static")]), name="static")
    for path in HEALTH_PATHS:
        app.add_api_route(path, _health)
    for router in (login.router, *(page.router for page in PAGES)):
        app.include_router(router)
    _add_error_pages(app)
    return app


@asynccontextmanager
async def _running(app: FastAPI) -> AsyncIterator[None]:
    """Measure from the start. Where it is mounted this is not run: see `Samples.watch`."""
    background: Background = app.state.background
    background.run(app.state.samples.run())
    try:
        yield
    finally:
        await background.stop()


async def _health() -> Response:
    """Whether the process runs; says nothing of the services."""
    return JSONResponse({"status": "ready"})


def _add_error_pages(app: FastAPI) -> None:
    @app.exception_handler(AnyHTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        return error_page(request, error.status_code, str(error.detail))

    @app.exception_handler(RequestValidationError)
    async def unreadable(request: Request, error: RequestValidationError) -> Response:
        fields = ", ".join(str(one["loc"][-1]) for one in error.errors())
        return error_page(request, 422, f"This cannot be read: {fields}.")

    @app.exception_handler(psycopg.Error)
    @app.exception_handler(OSError)
    @app.exception_handler(AMQPError)
    @app.exception_handler(ManagementFailed)
    @app.exception_handler(OutboxError)
    async def away(request: Request, error: Exception) -> Response:
        reason = reason_of(error)
        logger.warning("a page cannot be shown: %s", reason)
        return error_page(request, 503, f"This cannot be shown now: {reason}.")

    @app.exception_handler(UndefinedTable)
    async def unused(request: Request, error: UndefinedTable) -> Response:
        """A service has the tables of what it uses: one without jobs is not broken."""
        name = getattr(request.scope.get("route"), "name", "")
        page = next((page for page in PAGES if page.route == name), None)
        if page is None:
            return await away(request, error)
        view = view_of(request)
        service = request.query_params.get("service") or next(iter(view.services))
        return view.render("no_tables.html", page=page, service=service)

    @app.exception_handler(NotThere)
    async def gone(request: Request, error: NotThere) -> Response:
        return error_page(request, 404, str(error))

    @app.exception_handler(psycopg.DataError)
    @app.exception_handler(UnicodeEncodeError)
    @app.exception_handler(InvalidSetting)
    async def meaningless(request: Request, error: Exception) -> Response:
        return error_page(request, 422, f"This cannot be looked for: {one_line(error)}")

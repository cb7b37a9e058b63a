"""Puts a FastAPI application together, so that every rule for every endpoint holds.

The application has one layer, `Edge`, and inside of it `Endpoints`. They replace the framework's
own layers (server errors, telemetry of exceptions, body limit, exceptions, exit stack). Its CORS is
used as it is, if origins are given.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, cast

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from servicekit.http import openapi
from servicekit.http.access_rules import AccessRules
from servicekit.http.docs_pages import docs_router
from servicekit.http.edge import Edge
from servicekit.http.endpoints import Endpoints
from servicekit.http.exception_handlers import Handler, install_problem_handlers
from servicekit.http.idempotency import Keys, Replayed, replay
from servicekit.http.large_body_queue import LargeBodyQueue
from servicekit.http.problems import Problem, ProblemSpec, title_of
from servicekit.http.routing import JsonRoute, Router
from servicekit.observe.health import Health
from servicekit.observe.metrics import HttpMetrics, http_metrics, metrics_router
from servicekit.observe.requests import RequestObserver

__all__ = ["API_BASE", "KEY_LIFETIME", "ServiceApp", "create_app"]

API_BASE = "/api/v1"
KEY_LIFETIME = timedelta(hours=24)

Table = Mapping[type[Exception], ProblemSpec]


class ServiceApp(FastAPI):
    """FastAPI behind one layer of ours. Its OpenAPI document shows the true error answers."""

    _framework_document: dict[str, Any] | None = None
    _document: dict[str, Any]

    def __init__(self, *, metrics: HttpMetrics, access: AccessRules, **framework: Any) -> None:
        super().__init__(redirect_slashes=False, docs_url=None, redoc_url=None, **framework)
        self._metrics, self._access = metrics, access

    def build_middleware_stack(self) -> ASGIApp:
        """Called by the framework with the first request. See decision 1713."""
        return Edge(
            Endpoints(self),
            RequestObserver(self._metrics),
            access=self._access,
            handlers=cast("dict[Any, Handler]", self.exception_handlers),
            layers=[*self._access.layers(), *self.user_middleware],
        )

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        if document is not self._framework_document:
            self._framework_document = document
            self._document = openapi.with_problems(document, base=API_BASE)
        return self._document


def create_app(
    *,
    title: str,
    version: str,
    description: str,
    routers: Sequence[APIRouter] = (),
    problems: Table | None = None,
    health: Health | None = None,
    metrics: HttpMetrics | None = None,
    tags: list[dict[str, Any]] | None = None,
    key_lifetime: timedelta = KEY_LIFETIME,
    access: AccessRules | None = None,
) -> ServiceApp:
    """Return the application: `routers` under /api/v1, docs, health, metrics, problems.

    `key_lifetime` is how long the answer to an `Idempotency-Key` is kept. `access` says which hosts
    and origins may call: all by default.
    """
    metrics, access = metrics or http_metrics(), access or AccessRules()
    app = ServiceApp(
        metrics=metrics,
        access=access,
        title=title,
        version=version,
        description=description,
        openapi_tags=tags,
    )
    _share(app, Keys(key_lifetime))
    install_problem_handlers(app, problems or {})
    for router in routers:
        app.include_router(router, prefix=API_BASE)
    app.include_router(metrics_router(metrics.registry))
    if health is not None:
        app.include_router(health.router())
    app.include_router(docs_router(app, shown=access.docs))
    app.include_router(_problem_types(problems or {}))
    _check_routes(app)
    return app


def _share(app: FastAPI, keys: Keys) -> None:
    """Give all requests of the application what they use together."""
    app.state.keys, app.state.large_body_queue = keys, LargeBodyQueue()
    app.add_exception_handler(Replayed, replay)


def _problem_types(table: Table) -> Router:
    """The pages that a problem's `type` leads to."""
    router = Router(include_in_schema=False)
    own = {spec.code: (spec.status, spec.title or title_of(spec.code)) for spec in table.values()}
    known = {**openapi.COMMON_PROBLEMS, **own}

    @router.get("/problems/{code}")
    async def problem(code: str) -> Response:
        if code not in known:
            raise Problem(404, "not_found", "There is no problem of this name.")
        status, title = known[code]
        return JSONResponse({"code": code, "status": status, "title": title})

    return router


def _check_routes(app: FastAPI) -> None:
    """Refuse routes that would escape the rules: a programmer's mistake, found at the start."""
    for context in iter_route_contexts(app.routes):
        path = context.path or ""
        if len(path) > 1 and path.endswith("/"):
            raise ValueError(f"declare {path} without its trailing slash: both will work")
        route = context.original_route
        if isinstance(route, APIRoute) and not isinstance(route, JsonRoute):
            raise TypeError(f"{path} is on a plain APIRouter; use servicekit.http.routing.Router")

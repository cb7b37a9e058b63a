"""Prometheus: how many requests, by route and status, and how long they took.

Routes are labelled by their template, so an id in a path makes no new series; a path without a
route is `unmatched`.
"""

import time
from functools import cache

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from opentelemetry import trace as otel
from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.http.routing import ProbeRoute, Router

__all__ = ["HttpMetrics", "MetricsMiddleware", "http_metrics", "metrics_router"]

BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class HttpMetrics:
    """The two series of one registry; the children are kept, so a request looks up one dict."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self._requests = Counter(
            "http_requests", "Answered requests.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Seconds until the answer began.",
            ("method", "route"),
            buckets=BUCKETS,
            registry=registry,
        )
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        key = (method if method in METHODS else "OTHER", route, status)
        children = self._children.get(key)
        if children is None:
            children = (
                self._requests.labels(key[0], route, str(status)),
                self._seconds.labels(key[0], route),
            )
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)


@cache
def http_metrics(registry: CollectorRegistry = REGISTRY) -> HttpMetrics:
    """The one HttpMetrics of `registry`: an application may be put together more than once."""
    return HttpMetrics(registry)


class MetricsMiddleware:
    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self.app = app
        self.metrics = metrics
        self._templates: dict[int, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began = time.perf_counter()

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - began
                route = self._template(scope)
                self.metrics.observe(scope["method"], route, message["status"], seconds)
                span = otel.get_current_span()
                if span.is_recording():
                    span.update_name(f"{scope['method']} {route}")
                    span.set_attribute("http.route", route)
                    span.set_attribute("http.response.status_code", message["status"])
            await send(message)

        await self.app(scope, receive, watched)

    def _template(self, scope: Scope) -> str:
        if not self._templates:
            self._templates = _templates(scope["app"])
        # Plain Starlette routes (the docs) leave only their endpoint in the scope.
        found = scope.get("route") or scope.get("endpoint")
        return self._templates.get(id(found), "unmatched") if found else "unmatched"


def _templates(app: FastAPI) -> dict[int, str]:
    templates: dict[int, str] = {}
    for context in iter_route_contexts(app.routes):
        templates[id(context.original_route)] = context.path_format or "unmatched"
        templates[id(context.endpoint)] = context.path_format or "unmatched"
    return templates


def metrics_router(registry: CollectorRegistry = REGISTRY) -> Router:
    router = Router(include_in_schema=False, route_class=ProbeRoute)

    @router.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router

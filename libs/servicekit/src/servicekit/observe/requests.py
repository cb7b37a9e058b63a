"""What is recorded of every request: its trace, two metrics, and a line in the log."""

import logging
import time

import structlog
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import Scope

from servicekit.observe import trace
from servicekit.observe.metrics import HttpMetrics

__all__ = ["Observed", "RequestObserver"]

logger = structlog.get_logger("access")


class RequestObserver:
    """Sees every answer, refusals too.

    Routes are named by their template, so an id in a path makes no new series; a path without a
    route is `unmatched`. The log line is at DEBUG, or at WARNING when the answer was a 5xx.
    See decision 0008.
    """

    def __init__(self, metrics: HttpMetrics) -> None:
        self._metrics = metrics
        self._templates: dict[int, str] = {}

    def begin(self, scope: Scope, method: str, path: str, traceparent: bytes | None) -> "Observed":
        """Begin the request's trace, and its time."""
        trace.begin_request(traceparent.decode("latin-1") if traceparent else None)
        return Observed(self, scope, method, path)

    def record(self, observed: "Observed", status: int, seconds: float) -> None:
        """Record the answer of a request."""
        method = observed.method
        self._metrics.observe(method, self._template(observed.scope), status, seconds)
        failed = status >= 500
        # Asked before anything is built: structlog's own filter costs ten times as much.
        if failed or logging.root.isEnabledFor(logging.DEBUG):
            line, ms = (logger.warning if failed else logger.debug), round(seconds * 1000, 1)
            line("answered", method=method, path=observed.path, status=status, ms=ms)

    def _template(self, scope: Scope) -> str:
        # Plain Starlette routes (the docs) leave only their endpoint in the scope.
        found = scope.get("route") or scope.get("endpoint")
        if found is None:
            return "unmatched"
        if not self._templates:
            self._templates = _templates(scope["app"])
        return self._templates.get(id(found), "unmatched")


class Observed:
    """A request that is being answered."""

    __slots__ = ("_began", "_observer", "method", "path", "scope")

    def __init__(self, observer: RequestObserver, scope: Scope, method: str, path: str) -> None:
        self._observer = observer
        self._began = time.perf_counter()
        self.scope, self.method, self.path = scope, method, path

    def answered(self, status: int) -> None:
        """The answer begins."""
        self._observer.record(self, status, time.perf_counter() - self._began)


def _templates(app: FastAPI) -> dict[int, str]:
    templates: dict[int, str] = {}
    for context in iter_route_contexts(app.routes):
        templates[id(context.original_route)] = context.path_format or "unmatched"
        templates[id(context.endpoint)] = context.path_format or "unmatched"
    return templates

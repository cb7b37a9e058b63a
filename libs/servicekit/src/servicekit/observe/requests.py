"""What is recorded of every request: its trace, two metrics, and a line in the log."""

import logging
import time

import structlog
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.observe import trace
from servicekit.observe.metrics import HttpMetrics

__all__ = ["RequestObserver"]

logger = structlog.get_logger("access")


class RequestObserver:
    """The outermost layer of an application: it sees every answer, refusals too.

    Routes are named by their template, so an id in a path makes no new series; a path without a
    route is `unmatched`. The log line is at DEBUG, or at WARNING when the answer was a 5xx.
    See decision 0008.
    """

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self.app = app
        self._metrics = metrics
        self._templates: dict[int, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, path = time.perf_counter(), scope["path"]
        header = next((value for name, value in scope["headers"] if name == b"traceparent"), None)
        trace.begin_request(header.decode("latin-1") if header else None)

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                seconds = time.perf_counter() - began
                self._answered(scope, path, message["status"], seconds)
            await send(message)

        await self.app(scope, receive, observed)

    def _answered(self, scope: Scope, path: str, status: int, seconds: float) -> None:
        method = scope["method"]
        self._metrics.observe(method, self._template(scope), status, seconds)
        failed = status >= 500
        # Asked before anything is built: structlog's own filter costs ten times as much.
        if failed or logging.root.isEnabledFor(logging.DEBUG):
            line = logger.warning if failed else logger.debug
            line("answered", method=method, path=path, status=status, ms=round(seconds * 1000, 1))

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

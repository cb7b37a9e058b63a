"""Finds the endpoint of a request, in one step, and lets it answer.

Invariant: the endpoint is the one that the framework would find: the first in the order of
declaration whose path and method match. What is not in the table is the framework's: an unknown
path or method, a route of another kind, and every request for which it records a span.
"""

import re
from collections import defaultdict
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from fastapi.routing import RouteContext, iter_route_contexts
from starlette._utils import get_route_path
from starlette.convertors import StringConvertor
from starlette.types import Receive, Scope, Send

from servicekit.http.direct_calls import DirectCall, Unusual
from servicekit.http.routing import JsonRequest

__all__ = ["Endpoints"]

Found = tuple[DirectCall, dict[str, str]]


class Endpoints:
    """The endpoints of an application whose routes have all been declared."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._table = _Table(list(iter_route_contexts(app.routes)))
        self._framework = AsyncExitStackMiddleware(app.router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._table.find(scope) if self._may_call(scope) else None
        if found is None:
            await self._framework(scope, receive, send)
            return
        call, scope["path_params"] = found
        scope["route"], scope["endpoint"] = call.route, call.endpoint
        response = await call.answer(JsonRequest(scope, receive, send))
        await response(scope, receive, send)

    def _may_call(self, scope: Scope) -> bool:
        recorded = scope.get("fastapi.telemetry") is not None  # see decision 1413
        return scope["type"] == "http" and not recorded and not self._app.dependency_overrides


class _Table:
    """Paths without parameters by their text, the others by their number of parts."""

    def __init__(self, contexts: list[RouteContext]) -> None:
        self._fixed: dict[tuple[str, str], DirectCall | None] = {}
        self._with_parameters: dict[
            tuple[str, int], list[tuple[re.Pattern[str], DirectCall | None]]
        ] = defaultdict(list)
        for context in contexts:
            if not _is_plain(context):
                break  # it may match what comes after it, so that is left to the framework
            call = _direct_call(context)
            for method in context.methods or ():
                self._add(method, context, call)

    def _add(self, method: str, context: RouteContext, call: DirectCall | None) -> None:
        path = context.path_format or ""
        candidates = self._with_parameters[method, path.count("/")]
        if context.param_convertors:
            candidates.append((context.path_regex, call))
        elif not any(pattern.match(path) for pattern, _ in candidates):
            self._fixed.setdefault((method, path), call)

    def find(self, scope: Scope) -> Found | None:
        """The call of the first route that matches, and its path's parameters."""
        method, path = scope["method"], get_route_path(scope)
        if (method, path) in self._fixed:
            call = self._fixed[method, path]
            return (call, {}) if call else None
        for pattern, call in self._with_parameters.get((method, path.count("/")), ()):
            if match := pattern.match(path):
                return (call, match.groupdict()) if call else None
        return None


def _is_plain(context: RouteContext) -> bool:
    """Whether each parameter of the path is one part of it."""
    convertors: dict[str, Any] | None = getattr(context, "param_convertors", None)
    regex = getattr(context, "path_regex", None)
    return regex is not None and all(
        type(one) is StringConvertor for one in (convertors or {}).values()
    )


def _direct_call(context: RouteContext) -> DirectCall | None:
    try:
        return DirectCall(context)
    except Unusual:
        return None

"""The trace a request or an event belongs to (W3C Trace Context, section 3.2).

It lives in a context variable: logs, problems and outgoing events read it, nobody passes it on.
"""

import os
import re
from contextvars import ContextVar
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Trace", "TraceMiddleware", "adopt", "begin", "current", "traceparent"]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Trace(NamedTuple):
    """`trace_id` is 32 and `parent_id` 16 lower-case hex digits, `flags` 2."""

    trace_id: str
    parent_id: str
    flags: str


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current() -> Trace | None:
    """The trace of what is being done now, or None outside of any."""
    return _current.get()


def traceparent() -> str | None:
    """The header that carries the current trace on, to another service or into an event."""
    trace = _current.get()
    return None if trace is None else f"00-{trace.trace_id}-{trace.parent_id}-{trace.flags}"


def begin() -> Trace:
    """Start a trace of our own, not sampled, and make it current."""
    random = os.urandom(24).hex()
    trace = Trace(random[:32], random[32:], "00")
    _current.set(trace)
    return trace


def adopt(header: str | None) -> Trace:
    """Make the caller's trace current; a missing or malformed header begins a new one."""
    match = _TRACEPARENT.fullmatch(header) if header else None
    if match is None or header is None or header.startswith("ff"):
        return begin()
    trace_id, parent_id, flags, rest = match.groups()
    malformed = rest and header.startswith("00")
    if malformed or trace_id == "0" * 32 or parent_id == "0" * 16:
        return begin()
    trace = Trace(trace_id, parent_id, flags)
    _current.set(trace)
    return trace


class TraceMiddleware:
    """Every request has a trace: its caller's or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers: list[tuple[bytes, bytes]] = scope["headers"]
            header = next((value for name, value in headers if name == b"traceparent"), None)
            adopt(header.decode("latin-1") if header else None)
        await self.app(scope, receive, send)

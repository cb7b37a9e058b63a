"""The trace a request or an event belongs to (W3C Trace Context, section 3.2).

It lives in a context variable: logs, problems and outgoing events read it, nobody passes it on.
Where somebody has set up OpenTelemetry, each request is a server span of it; while an event is
handled, the trace is the event's.
"""

import os
from contextvars import ContextVar
from typing import NamedTuple

from opentelemetry import trace as otel
from opentelemetry.trace import NonRecordingSpan, SpanContext, SpanKind, TraceFlags
from starlette.types import ASGIApp, Receive, Scope, Send

from outbox.tracing import context_of

__all__ = ["Trace", "TraceMiddleware", "adopt", "begin", "current", "traceparent"]


class Trace(NamedTuple):
    """`trace_id` is 32 and `parent_id` 16 lower-case hex digits, `flags` 2."""

    trace_id: str
    parent_id: str
    flags: str


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current() -> Trace | None:
    """The trace of what is being done now, or None outside of any."""
    return _current.get() or _of(otel.get_current_span().get_span_context())


def traceparent() -> str | None:
    """The header that carries the current trace on, to another service or into an event."""
    trace = current()
    return None if trace is None else f"00-{trace.trace_id}-{trace.parent_id}-{trace.flags}"


def begin() -> Trace:
    """Start a trace of our own, not sampled, and make it current."""
    random = os.urandom(24).hex()
    trace = Trace(random[:32], random[32:], "00")
    _current.set(trace)
    return trace


def adopt(header: str | None) -> Trace:
    """Make the caller's trace current; a missing or malformed header begins a new one."""
    context = context_of(header)
    trace = None if context is None else _of(context)
    if trace is None:
        return begin()
    _current.set(trace)
    return trace


def _of(context: SpanContext) -> Trace | None:
    if not context.is_valid:
        return None
    return Trace(
        f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{context.trace_flags:02x}"
    )


def _context_of(trace: Trace) -> SpanContext:
    return SpanContext(
        int(trace.trace_id, 16),
        int(trace.parent_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(int(trace.flags, 16)),
    )


class TraceMiddleware:
    """Every request has a trace: its caller's or a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers: list[tuple[bytes, bytes]] = scope["headers"]
            header = next((value for name, value in headers if name == b"traceparent"), None)
            trace = adopt(header.decode("latin-1") if header else None)
            if not isinstance(otel.get_tracer_provider(), otel.ProxyTracerProvider):
                await self._recorded(trace if header else None, scope, receive, send)
                return
        await self.app(scope, receive, send)

    async def _recorded(
        self, caller: Trace | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """As a server span, named by its route once that is known (see `metrics`)."""
        parent = NonRecordingSpan(_context_of(caller) if caller else otel.INVALID_SPAN_CONTEXT)
        with otel.get_tracer("servicekit").start_as_current_span(
            scope["method"],
            context=otel.set_span_in_context(parent),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "url.path": scope["path"]},
        ) as span:
            _current.set(_of(span.get_span_context()) or _current.get())
            await self.app(scope, receive, send)

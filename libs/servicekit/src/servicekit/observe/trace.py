"""The trace a request or an event belongs to (W3C Trace Context, section 3.2).

It lives in a context variable: logs, problems and outgoing events read it there. Where a provider
of OpenTelemetry is set up, FastAPI makes each request a server span, and the trace is that span's.
While an event is handled, the trace is the event's.
"""

import os
from contextvars import ContextVar
from typing import NamedTuple

from opentelemetry import trace as otel
from opentelemetry.trace import SpanContext

from outbox.tracing import context_of

__all__ = ["Trace", "adopt", "begin", "begin_request", "current", "traceparent"]


class Trace(NamedTuple):
    """`trace_id` is 32 and `parent_id` 16 lower-case hex digits, `flags` 2."""

    trace_id: str
    parent_id: str
    flags: str


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


def current() -> Trace | None:
    """Return the current trace, or None outside of any."""
    return _current.get() or _of(otel.get_current_span().get_span_context())


def traceparent() -> str | None:
    """Return the header that carries the current trace to another service or into an event."""
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


def begin_request(header: str | None) -> Trace:
    """Make a request's trace current: that of the framework's span, if it records one.

    Else it is the caller's, or a new one.
    """
    trace = _of(otel.get_current_span().get_span_context())
    if trace is None:
        return adopt(header)
    _current.set(trace)
    return trace


def _of(context: SpanContext) -> Trace | None:
    if not context.is_valid:
        return None
    return Trace(
        f"{context.trace_id:032x}", f"{context.span_id:016x}", f"{context.trace_flags:02x}"
    )

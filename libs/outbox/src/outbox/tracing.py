"""Spans of events, if the application has set up tracing (OpenTelemetry, "Messaging").

The library uses only OpenTelemetry's API. Without a tracer provider nothing is recorded. The trace
that an event carries is still the current one while its handler runs, so the handler's logs and the
events that it emits belong to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import Attributes

from outbox.event import Envelope

_tracer = trace.get_tracer("outbox")
_HEADER = TraceContextTextMapPropagator()
_NAME = "traceparent"
_LONGEST = 512
"""Characters; the propagator logs a warning for every longer header."""


class Traced(Protocol):
    """Something that may carry the header of a trace, as bytes."""

    @property
    def traceparent(self) -> bytes | None: ...


def is_on() -> bool:
    """Whether spans go anywhere."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def context_of(traceparent: str | None) -> SpanContext | None:
    """Return the context in a header, or None if it is not one (W3C Trace Context, 3.2)."""
    if not traceparent or len(traceparent) > _LONGEST:
        return None
    found = trace.get_current_span(_HEADER.extract({_NAME: traceparent}, Context()))
    context = found.get_span_context()
    return context if context.is_valid else None


def traceparent_of(context: SpanContext) -> str:
    """Return the header that carries a valid context on."""
    carrier: dict[str, str] = {}
    _HEADER.inject(carrier, trace.set_span_in_context(NonRecordingSpan(context), Context()))
    return carrier[_NAME]


def creating(types: Sequence[str], otherwise: str | None) -> str | None:
    """The traceparent for events that are added now: of a span of their own while one records."""
    if not trace.get_current_span().is_recording():
        return otherwise
    name = types[0] if len(set(types)) == 1 else "events"
    attributes: Attributes = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "create",
        "messaging.batch.message_count": len(types),
    }
    with _tracer.start_span(
        f"create {name}", kind=SpanKind.PRODUCER, attributes=attributes
    ) as span:
        return traceparent_of(span.get_span_context())


@contextmanager
def publishing(entries: Sequence[Traced]) -> Iterator[None]:
    """Around the confirming of a window: one span, linked to the events that are sampled."""
    if not is_on():
        yield
        return
    traces = [entry.traceparent.decode("latin-1") for entry in entries if entry.traceparent]
    contexts = [context for header in traces if (context := context_of(header))]
    links = [Link(context) for context in contexts if context.trace_flags.sampled]
    attributes: Attributes = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": len(entries),
    }
    with _tracer.start_as_current_span(
        "publish window", kind=SpanKind.CLIENT, attributes=attributes, links=links
    ):
        yield


def processing(consumer: str, events: Sequence[Envelope]) -> AbstractContextManager[None]:
    """Around a handler: a span below the event's own, or one linked to several events.

    If spans go nowhere, the event's trace is still the current one.
    """
    if is_on():
        return _recording(consumer, events)
    header = events[0].traceparent if len(events) == 1 else None
    if header is not None:
        return _Current(_Carried(header))
    if trace.get_current_span() is trace.INVALID_SPAN:
        return _NOTHING
    return _Current(trace.INVALID_SPAN)


@contextmanager
def _recording(consumer: str, events: Sequence[Envelope]) -> Iterator[None]:
    parent = context_of(events[0].traceparent) if len(events) == 1 else None
    around = NonRecordingSpan(parent or trace.INVALID_SPAN_CONTEXT)
    contexts = [] if parent else [context_of(event.traceparent) for event in events]
    with (
        trace.use_span(around, end_on_exit=False),
        _tracer.start_as_current_span(
            f"process {events[0].type}",
            kind=SpanKind.CONSUMER,
            attributes=_attributes(consumer, events),
            links=[Link(context) for context in contexts if context],
        ),
    ):
        yield


class _Carried(NonRecordingSpan):
    """The span that a header names. The header is read when somebody asks, which is rare."""

    def __init__(self, header: str) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self._header: str | None = header

    def get_span_context(self) -> SpanContext:
        if self._header is not None:
            self._context = context_of(self._header) or trace.INVALID_SPAN_CONTEXT
            self._header = None
        return self._context


class _Current:
    """Makes a span the current one. On the path of every event: a generator costs a µs more."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        self._token = attach(trace.set_span_in_context(self._span))

    def __exit__(self, *_problem: object) -> None:
        detach(self._token)


_NOTHING = nullcontext()


def _attributes(consumer: str, events: Sequence[Envelope]) -> Attributes:
    shared: dict[str, str | int] = {
        "messaging.system": "rabbitmq",
        "messaging.operation.type": "process",
        "messaging.destination.name": consumer,
    }
    if len(events) > 1:
        return {**shared, "messaging.batch.message_count": len(events)}
    stream = events[0].stream
    return {
        **shared,
        "messaging.message.id": str(events[0].id),
        "messaging.message.conversation_id": events[0].correlation_id,
        "outbox.aggregate": f"{stream.aggregate_type}/{stream.aggregate_id}",
        "outbox.sequence": events[0].sequence,
    }

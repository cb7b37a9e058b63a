"""While an event is handled, its trace is the current one, also where spans go nowhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.trace import NonRecordingSpan

from outbox import Envelope, Stream, tracing

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OTHER = "00-11111111111111111111111111111111-2222222222222222-00"


def event(header: str | None) -> Envelope:
    stream = Stream("shop", "order", "1")
    one = Envelope(uuid4(), stream, 1, "order.placed", 1, datetime.now(UTC), b"{}", "c")
    return replace(one, traceparent=header)


def current() -> str | None:
    context = trace.get_current_span().get_span_context()
    return tracing.traceparent_of(context) if context.is_valid else None


@pytest.fixture
def inside_another() -> Iterator[None]:
    context = tracing.context_of(OTHER)
    assert context is not None
    token = attach(trace.set_span_in_context(NonRecordingSpan(context)))
    yield
    detach(token)


@pytest.fixture(autouse=True)
def _off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "is_on", lambda: False)


def test_the_trace_of_an_event_is_current_and_then_no_more() -> None:
    with tracing.processing("kitchen.orders", [event(HEADER)]):
        assert current() == HEADER
        assert not trace.get_current_span().is_recording()
    assert current() is None


@pytest.mark.usefixtures("inside_another")
@pytest.mark.parametrize("events", [[event(None)], [event("nonsense")], [event(HEADER)] * 2])
def test_events_without_a_trace_of_their_own_are_in_none(events: list[Envelope]) -> None:
    with tracing.processing("kitchen.orders", events):
        assert current() is None
    assert current() == OTHER


def test_a_header_that_is_none_leads_nowhere() -> None:
    with tracing.processing("kitchen.orders", [event("nonsense")]):
        assert current() is None


def test_a_failure_leaves_the_trace() -> None:
    with pytest.raises(KeyError), tracing.processing("kitchen.orders", [event(HEADER)]):
        raise KeyError
    assert current() is None

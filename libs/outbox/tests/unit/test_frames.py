"""Frames made by hand, compared with what the client's own decoder and encoder make of them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pamqp.frame
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from kit.outbox.outbox_rows import entry
from outbox.log.row import OutboxRow
from outbox.publisher.frames import Frames, Unsendable
from outbox.rabbitmq.cloudevents import to_message

FRAME_MAX = 4096
SHORT = st.text(min_size=1, max_size=60).map(lambda text: text.replace("\0", "0").encode())


def decoded(data: bytes) -> list[object]:
    frames: list[object] = []
    while data:
        size, channel, frame = pamqp.frame.unmarshal(data)
        assert channel == 7
        frames.append(frame)
        data = data[size:]
    return frames


def parts(
    event: OutboxRow, user: str | None = None
) -> tuple[Basic.Publish, ContentHeader, list[bytes]]:
    method, header, *bodies = decoded(
        Frames("shop", channel=7, frame_max=FRAME_MAX, user=user).of(event)
    )
    assert isinstance(method, Basic.Publish)
    assert isinstance(header, ContentHeader)
    return method, header, [body.value for body in bodies if isinstance(body, ContentBody)]


@given(
    aggregate=SHORT,
    sequence=st.integers(1, 2**63 - 1),
    version=st.integers(1, 2**15 - 1),
    correlation=SHORT,
    causation=st.none() | SHORT,
    trace=st.none() | SHORT,
    body=st.binary(max_size=10_000),
    user=st.none() | st.sampled_from(["orders", "guest"]),
)
def test_the_client_decodes_the_frames_to_the_message_that_it_would_have_written(  # noqa: PLR0917
    aggregate: bytes,
    sequence: int,
    version: int,
    correlation: bytes,
    causation: bytes | None,
    trace: bytes | None,
    body: bytes,
    user: str | None,
) -> None:
    event = entry()._replace(
        aggregate_id=aggregate,
        sequence=sequence,
        version=version,
        correlation_id=correlation,
        causation_id=causation,
        traceparent=trace,
        payload=body,
    )
    method, header, bodies = parts(event, user)
    message = to_message(event.envelope(), user=user)
    written = ContentHeader(body_size=0, properties=message.properties)
    [expected] = decoded(pamqp.frame.marshal(written, 7))
    assert isinstance(expected, ContentHeader)
    assert (method.exchange, method.routing_key) == ("shop", "order.happened")
    assert (method.mandatory, method.immediate) == (True, False)
    assert header.body_size == len(body)
    assert b"".join(bodies) == body
    expected.properties.priority = None  # aio-pika writes out the default, 0
    for name in Basic.Properties.attributes():
        assert getattr(header.properties, name) == getattr(expected.properties, name), name


@pytest.mark.parametrize("size", [0, 1, FRAME_MAX - 8, FRAME_MAX - 7, 3 * FRAME_MAX])
def test_no_frame_is_larger_than_the_connection_allows(size: int) -> None:
    *_, bodies = parts(entry(payload=b"x" * size))
    assert sum(map(len, bodies)) == size
    assert all(0 < len(body) + 8 <= FRAME_MAX for body in bodies)


def test_a_kind_seen_before_is_not_mixed_up_with_another() -> None:
    frames = Frames("shop", channel=7, frame_max=FRAME_MAX)
    kinds = [entry(), entry(source=b"mart"), entry(type=b"order.x"), entry(version=2)]
    for event in kinds + kinds:
        _, header, *_ = decoded(frames.of(event))
        assert isinstance(header, ContentHeader)
        assert header.properties.app_id == event.source.decode()
        assert header.properties.message_type == event.type.decode()
        assert (header.properties.headers or {})["version"] == event.version


@pytest.mark.parametrize("field", ["correlation_id", "type", "source"])
def test_a_text_longer_than_a_short_string_is_unsendable(field: str) -> None:
    frames = Frames("shop", channel=7, frame_max=FRAME_MAX)
    short: dict[str, Any] = {field: b"x" * 255}
    frames.of(entry(**short))
    long: dict[str, Any] = {field: b"x" * 256}
    with pytest.raises(Unsendable):
        frames.of(entry(event_id=str(uuid4()).encode(), **long))

"""What the library reads of a delivery by itself is what pamqp reads, byte for byte."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pamqp.frame
import pytest
from hypothesis import example, given
from hypothesis import strategies as some
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader

from kit.outbox.world import SOURCE, Happened
from outbox.rabbitmq import delivery_frames
from outbox.rabbitmq.cloudevents import to_message
from outbox.testing import Source

short_texts = some.text(max_size=30)
times = some.integers(0, 2**32).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
values = some.recursive(
    some.one_of(
        some.text(max_size=300),
        some.integers(-(2**63), 2**63 - 1),
        some.booleans(),
        some.none(),
        some.binary(max_size=20).map(bytearray),
        some.floats(width=32, allow_nan=False),
        times,
    ),
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(short_texts, inner, max_size=3),
    max_leaves=5,
)
properties = some.builds(
    Basic.Properties,
    content_type=some.none() | short_texts,
    content_encoding=some.none() | short_texts,
    headers=some.none() | some.dictionaries(short_texts, values, max_size=6),
    delivery_mode=some.none() | some.sampled_from([1, 2]),
    priority=some.none() | some.integers(0, 255),
    correlation_id=some.none() | short_texts,
    reply_to=some.none() | short_texts,
    expiration=some.none() | short_texts,
    message_id=some.none() | short_texts,
    timestamp=some.none() | times,
    message_type=some.none() | short_texts,
    user_id=some.none() | short_texts,
    app_id=some.none() | short_texts,
)
frames = some.one_of(
    some.builds(
        Basic.Deliver,
        consumer_tag=short_texts,
        delivery_tag=some.integers(0, 2**63 - 1),
        redelivered=some.booleans(),
        exchange=some.sampled_from(["", "shop"]),
        routing_key=short_texts,
    ),
    some.builds(ContentHeader, body_size=some.integers(0, 2**63 - 1), properties=properties),
    some.binary(min_size=1, max_size=50).map(ContentBody),
)


def contents(frame: FrameTypes | None) -> Any:
    """All that a frame says, to be compared."""
    if isinstance(frame, ContentHeader):
        says = frame.class_id, frame.weight, frame.body_size
        return type(frame), says, repr(dict(frame.properties))
    if isinstance(frame, ContentBody):
        return type(frame), frame.value
    return type(frame), isinstance(frame, Basic.Deliver) and dict(frame)


@given(frames)
def test_each_frame_of_a_delivery_is_read_as_pamqp_reads_it(frame: FrameTypes) -> None:
    data = pamqp.frame.marshal(frame, 3)
    assert contents(delivery_frames.read(data)) == contents(pamqp.frame.unmarshal(data)[2])


@given(frames, some.lists(some.tuples(some.integers(0, 10_000), some.integers(0, 255)), max_size=4))
@example(Basic.Cancel("tag"), [])
@example(Basic.Ack(7, multiple=True), [])
def test_a_spoiled_frame_is_read_as_pamqp_reads_it_or_left_to_pamqp(
    frame: FrameTypes, spoiled: list[tuple[int, int]]
) -> None:
    data = bytearray(pamqp.frame.marshal(frame, 3))
    for at, byte in spoiled:
        # Not the frame's head: whoever cuts frames out of the stream has believed it.
        place = delivery_frames.HEAD + at % (len(data) - delivery_frames.HEAD)
        data[place] = byte
    found = delivery_frames.read(bytes(data))
    if found is not None:
        assert contents(found) == contents(pamqp.frame.unmarshal(bytes(data))[2])


@pytest.mark.parametrize("body", [b"{}", b'{"number": 1}'])
def test_no_frame_of_the_librarys_own_messages_is_left_to_pamqp(body: bytes) -> None:
    [event] = Source(SOURCE).envelopes(Happened("a", body=body))
    message = to_message(event, user="someone")
    for frame in (
        Basic.Deliver("tag", 1, False, "shop", event.type),
        ContentHeader(body_size=len(body), properties=message.properties),
        ContentBody(body),
    ):
        assert delivery_frames.read(pamqp.frame.marshal(frame, 1)) is not None

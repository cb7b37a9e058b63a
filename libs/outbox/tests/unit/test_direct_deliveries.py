"""Deliveries are put together from their frames, in the order in which they come."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pamqp.frame
from aiormq.abc import DeliveredMessage
from pamqp.body import ContentBody
from pamqp.commands import Basic, Channel
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from outbox.event import MAX_PAYLOAD
from outbox.rabbitmq.direct_deliveries import DirectDeliveries
from outbox.rabbitmq.lenient_decoding import OpenReceiver, body_size

CHANNEL = 3


def delivery(tag: int, *parts: bytes, size: int | None = None) -> list[FrameTypes]:
    whole = sum(map(len, parts)) if size is None else size
    method, header = Basic.Deliver("tag", tag, False, "shop", "order.a"), ContentHeader(0, whole)
    return [method, header, *map(ContentBody, parts)]


async def received(*frames: FrameTypes, cut: int) -> tuple[list[DeliveredMessage], list[Any]]:
    """What the channel's consumer gets, and what aiormq gets; so many bytes arrive at once."""
    found: list[DeliveredMessage] = []
    reader = asyncio.StreamReader(limit=2**22)
    direct = DirectDeliveries(cast("Any", None), found.append)
    receiver = OpenReceiver(reader, {CHANNEL: direct})
    wire = b"".join(pamqp.frame.marshal(one, CHANNEL) for one in frames)
    wire += pamqp.frame.marshal(Channel.CloseOk(), CHANNEL)
    feeding = asyncio.create_task(_feed(reader, wire, cut))
    others: list[Any] = []
    while not others or not isinstance(others[-1], Channel.CloseOk):
        others.append((await receiver.get_frame())[2])
    await feeding
    return found, others


async def _feed(reader: asyncio.StreamReader, wire: bytes, cut: int) -> None:
    for at in range(0, len(wire), cut):
        reader.feed_data(wire[at : at + cut])
        await asyncio.sleep(0)


async def test_deliveries_come_in_order_however_their_bytes_arrive() -> None:
    frames = [*delivery(1, b"one"), *delivery(2), *delivery(3, b"th", b"r", b"ee")]
    for cut in (1, 7, 50, 10_000):
        found, _ = await received(*frames, cut=cut)
        assert [(one.delivery_tag, one.body) for one in found] == [
            (1, b"one"),
            (2, b""),
            (3, b"three"),
        ]


async def test_other_frames_are_left_to_aiormq_and_deliveries_count_as_a_heartbeat() -> None:
    frames = [*delivery(1, b"one"), Basic.Cancel("tag"), *delivery(2, b"two")]
    found, others = await received(*frames, cut=10_000)
    assert [one.delivery_tag for one in found] == [1, 2]
    assert [type(one) for one in others] == [Basic.Cancel, Channel.CloseOk]
    found, others = await received(*frames, cut=len(pamqp.frame.marshal(frames[0], CHANNEL)))
    assert [one.delivery_tag for one in found] == [1, 2]
    assert Heartbeat in map(type, others), "aiormq would take the connection for dead"


async def test_content_that_no_delivery_announced_is_left_to_aiormq() -> None:
    got: list[FrameTypes] = [
        Basic.GetOk(7, False, "shop", "order.a", 0),
        ContentHeader(0, 3),
        ContentBody(b"got"),
    ]
    found, others = await received(*got, *delivery(1, b"one"), cut=10_000)
    assert [one.delivery_tag for one in found] == [1]
    assert [type(one) for one in others[:3]] == [type(one) for one in got]


async def test_a_body_that_is_too_large_is_not_kept() -> None:
    part = b"x" * (MAX_PAYLOAD // 2 + 1)
    found, _ = await received(*delivery(1, part, part), *delivery(2, b"two"), cut=100_000)
    assert [(body_size(one), one.body) for one in found] == [(2 * len(part), b""), (3, b"two")]

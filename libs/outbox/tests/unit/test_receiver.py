"""Acks of deliveries in any order: as few frames as possible, in one write."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from pamqp import frame
from pamqp.commands import Basic

from outbox.rabbitmq.receiver import Receiver

CHANNEL = 3


def receiver_with(*tags: int) -> Receiver:
    channel = cast("Any", SimpleNamespace(number=CHANNEL))
    receiver = Receiver(channel, lambda _: None)
    for tag in tags:
        receiver.delivered(cast("Any", SimpleNamespace(delivery_tag=tag)))
    return receiver


def frames(*acks: tuple[int, bool]) -> bytes:
    """As pamqp writes them."""
    return b"".join(frame.marshal(Basic.Ack(tag, multiple), CHANNEL) for tag, multiple in acks)


def test_all_that_is_open_is_acked_by_one_frame() -> None:
    assert receiver_with(1, 2, 3).frames_for([1, 2, 3]) == frames((3, True))


def test_what_is_open_is_not_covered_by_an_ack_of_a_later_one() -> None:
    receiver = receiver_with(1, 2, 3, 4, 5)
    assert receiver.frames_for([2, 4]) == frames((2, False), (4, False))
    assert receiver.frames_for([1, 5]) == frames((1, True), (5, False))
    assert receiver.frames_for([3]) == frames((3, True))


def test_a_frame_for_several_names_a_delivery_that_the_broker_still_waits_for() -> None:
    receiver = receiver_with(1, 2, 3)
    assert receiver.frames_for([2]) == frames((2, False))
    assert receiver.frames_for([1]) == frames((1, True)), "2 is acked already"
    assert receiver.frames_for([]) == b""

"""Which deliveries a worker gets: a stream is in one worker's hands at a time, in order."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

from outbox.event import Envelope, Stream
from outbox.inbox.dispatcher import Dispatcher, Received


def received(name: str, arrival: int, *, sequence: int = 1, redelivered: bool = False) -> Received:
    stream, now = Stream("shop", "order", name), datetime.now(UTC)
    event = Envelope(uuid4(), stream, sequence, "x", 1, now, b"{}", "c", None, None)
    delivery = SimpleNamespace(delivery_tag=arrival, redelivered=redelivered)
    return Received(event, cast("Any", delivery))


def dispatcher_of(*deliveries: Received) -> Dispatcher:
    dispatcher = Dispatcher()
    for one in deliveries:
        dispatcher.add(one)
    return dispatcher


def arrivals(batch: list[Received]) -> list[int]:
    return [one.arrival for one in batch]


def test_a_worker_takes_in_the_order_of_arrival_what_is_in_no_other_hands() -> None:
    dispatcher = dispatcher_of(*(received(name, n) for n, name in enumerate("aabacb")))
    first = dispatcher.assign(3)
    assert arrivals(first) == [0, 1, 2]
    assert arrivals(dispatcher.assign(10)) == [4], "c alone is free"
    assert dispatcher.assign(10) == []
    dispatcher.release(first)
    assert arrivals(dispatcher.assign(10)) == [3, 5]


def test_what_a_worker_leaves_comes_before_what_arrived_later_in_its_streams() -> None:
    dispatcher = dispatcher_of(*(received("a", n) for n in range(4)))
    batch = dispatcher.assign(3)
    dispatcher.add(received("b", 4))
    other = dispatcher.assign(10)
    assert arrivals(other) == [4]
    dispatcher.release(batch, left=batch[1:])
    dispatcher.release(other)
    assert arrivals(dispatcher.assign(10)) == [1, 2, 3]


def test_what_is_put_off_stays_in_hand_so_that_later_arrivals_come_behind_it() -> None:
    dispatcher = dispatcher_of(*(received(name, n) for n, name in enumerate("ab")))
    batch = dispatcher.assign(10)
    dispatcher.release(batch[1:])
    dispatcher.add(received("a", 2))
    assert dispatcher.assign(10) == []
    dispatcher.release(batch[:1], left={batch[0]})
    assert arrivals(dispatcher.assign(10)) == [0, 2]


def test_what_came_too_early_goes_behind_the_predecessor_that_came_meanwhile() -> None:
    dispatcher = dispatcher_of(received("a", 0, sequence=2), received("b", 1))
    early, other = dispatcher.assign(10)
    dispatcher.add(received("a", 2, sequence=2))
    dispatcher.add(received("a", 3, sequence=1))
    assert dispatcher.assign(10) == []
    dispatcher.release([early, other], left={early, other})
    assert arrivals(dispatcher.assign(1)) == [3], "a worker may take one at a time"
    assert arrivals(dispatcher.assign(10)) == [1]


def test_redelivered_events_are_taken_with_others_in_the_order_of_arrival() -> None:
    dispatcher = dispatcher_of(
        received("a", 0), received("b", 1, redelivered=True), received("c", 2)
    )
    assert arrivals(dispatcher.assign(10)) == [0, 1, 2]

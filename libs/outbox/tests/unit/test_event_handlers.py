"""Handlers by event class: typed, complete, and refused early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar, Self, cast
from uuid import uuid4

import pytest

from outbox import Envelope, Stream, Subscription, UnitOfWork
from outbox.errors import InvalidSetting
from outbox.inbox.event_handlers import EventHandlers
from outbox.inbox.handlers import Handler, ignore

UNIT = cast("UnitOfWork", None)


@dataclass
class Placed:
    type: ClassVar[str] = "order.placed"
    body: bytes

    @classmethod
    def of(cls, delivered: Envelope, /) -> Self:
        return cls(delivered.payload)


class Viewed(Placed):
    type: ClassVar[str] = "order.viewed"


@pytest.fixture
def on() -> EventHandlers:
    return EventHandlers(
        Subscription("orders", "kitchen.orders", "shop", ("order",)), Placed, Viewed
    )


async def test_a_handler_gets_an_instance_of_its_class(on: EventHandlers) -> None:
    seen: list[Placed] = []

    @on(Placed)
    async def cook(unit: UnitOfWork, placed: Placed) -> None:
        seen.append(placed)

    await cast("Handler", on["order.placed"])(UNIT, envelope(b"{}"))
    await cook(UNIT, Placed(b"direct"))
    assert seen == [Placed(b"{}"), Placed(b"direct")]


def test_what_is_neither_handled_nor_ignored_is_named_with_what_to_write(on: EventHandlers) -> None:
    with pytest.raises(InvalidSetting, match=r"no handler of Placed, Viewed.*@on\(Placed\)"):
        on.check()


def test_handled_or_ignored_is_complete(on: EventHandlers) -> None:
    on.ignores(Viewed)
    on(Placed)(nothing)
    on.check()
    assert on["order.viewed"] is ignore
    assert list(on) == ["order.viewed", "order.placed"]


class Paid(Placed):
    type: ClassVar[str] = "payment.held"


def plain(unit: UnitOfWork, placed: Placed) -> None:
    """Not async."""


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (lambda on: on(Paid)(nothing), "payment.held is never called: queue kitchen.orders"),
        (lambda on: on.ignores(Viewed, Viewed), "order.viewed is registered twice"),
        (lambda on: on(Placed)(plain), "order.placed is not async"),
    ],
    ids=["an event of another queue", "two of one event", "a plain function"],
)
def test_a_mistake_is_refused_where_it_is_made(
    on: EventHandlers, mistake: Callable[[EventHandlers], object], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said):
        mistake(on)


async def nothing(unit: UnitOfWork, placed: Placed) -> None:
    """Do nothing."""


def envelope(body: bytes) -> Envelope:
    stream = Stream("shop", "order", "1")
    return Envelope(uuid4(), stream, 1, "order.placed", 1, datetime.now(UTC), body, "c")

"""Handlers by event class: typed, complete, and refused early."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Self, cast
from uuid import uuid4

import pytest
from pydantic import BaseModel, ValidationError

from outbox import Application, Envelope, Handlers, Stream, Subscription, Topology, UnitOfWork
from outbox.errors import InvalidSetting, Unreadable
from outbox.inbox.handlers import HandleMany, HandleOne, ignore

UNIT = cast("UnitOfWork", None)
ORDERS = Subscription("orders", "kitchen.orders", "shop", ("order",))


@dataclass
class Placed:
    """A class of the application's own."""

    meal: str
    type: ClassVar[str] = "order.placed"

    @classmethod
    def parse(cls, body: bytes) -> Self:
        return cls(json.loads(body)["meal"])


class Viewed(BaseModel):
    """A pydantic model."""

    type: ClassVar[str] = "order.viewed"
    meal: str


@dataclass
class Printed:
    """A class that reads more than the body."""

    order_id: str
    type: ClassVar[str] = "order.printed"

    @classmethod
    def from_envelope(cls, envelope: Envelope, /) -> Self:
        return cls(envelope.aggregate_id)

    @classmethod
    def parse(cls, body: bytes) -> Self:
        raise AssertionError("from_envelope is asked first")


@pytest.fixture
def on() -> Handlers:
    return Handlers(ORDERS, Placed, Viewed, Printed)


async def test_a_handler_gets_an_instance_of_its_class(on: Handlers) -> None:
    seen: list[object] = []

    @on(Placed)
    async def cook(unit: UnitOfWork, placed: Placed) -> None:
        seen.append(placed)

    @on(Viewed)
    async def count(unit: UnitOfWork, viewed: Viewed) -> None:
        seen.append(viewed)

    @on(Printed)
    async def file(unit: UnitOfWork, printed: Printed) -> None:
        seen.append(printed)

    for type_ in on:
        await one(on, type_)(UNIT, envelope(b'{"meal": "soup"}'))
    assert seen == [Placed("soup"), Viewed(meal="soup"), Printed("1")]
    await cook(UNIT, Placed("direct"))
    assert seen[-1] == Placed("direct")


async def test_a_third_parameter_gets_the_envelope(on: Handlers) -> None:
    seen: list[object] = []
    came = envelope(b'{"meal": "soup"}')

    @on(Placed)
    async def cook(unit: UnitOfWork, placed: Placed, envelope: Envelope) -> None:
        seen.append((placed, envelope))

    @on.many(Viewed)
    async def count(
        unit: UnitOfWork, viewed: Sequence[Viewed], envelopes: Sequence[Envelope]
    ) -> None:
        seen.append((*viewed, *envelopes))

    await one(on, "order.placed")(UNIT, came)
    await many(on, "order.viewed")(UNIT, [came, came])
    viewed = Viewed(meal="soup")
    assert seen == [(Placed("soup"), came), (viewed, viewed, came, came)]


async def test_a_third_parameter_with_a_default_is_left_alone(on: Handlers) -> None:
    seen: list[str] = []

    @on(Placed)
    async def cook(unit: UnitOfWork, placed: Placed, pan: str = "the big one") -> None:
        seen.append(pan)

    await one(on, "order.placed")(UNIT, envelope(b'{"meal": "soup"}'))
    assert seen == ["the big one"]


async def test_a_handler_of_many_gets_instances(on: Handlers) -> None:
    seen: list[Sequence[Placed]] = []

    @on.many(Placed)
    async def cook(unit: UnitOfWork, placed: Sequence[Placed]) -> None:
        seen.append(placed)

    await many(on, "order.placed")(UNIT, [envelope(b'{"meal": "a"}'), envelope(b'{"meal": "b"}')])
    assert seen == [[Placed("a"), Placed("b")]]


@pytest.mark.parametrize(
    ("kind", "body", "raises", "says"),
    [
        (Placed, b"{}", Unreadable, "Placed cannot read it: KeyError: 'meal'"),
        (Placed, b"{", json.JSONDecodeError, "Expecting"),
        (Viewed, b"{}", ValidationError, "Field required"),
    ],
)
async def test_what_a_class_cannot_read_is_unreadable(
    on: Handlers, kind: Any, body: bytes, raises: type[Exception], says: str
) -> None:
    on(kind)(nothing)
    with pytest.raises(raises, match=says):
        await one(on, kind.type)(UNIT, envelope(body))


def test_what_is_neither_handled_nor_ignored_is_named_with_what_to_write(on: Handlers) -> None:
    on.ignores(Printed)
    says = r"no handler of Placed, Viewed.*@on\(Placed\)"
    with pytest.raises(InvalidSetting, match=says):
        on.check()
    with pytest.raises(InvalidSetting, match=says):
        Application(Topology(["orders"], [ORDERS]), {"kitchen.orders": on})


def test_handled_or_ignored_is_complete(on: Handlers) -> None:
    on.ignores(Viewed, Printed)
    on(Placed)(nothing)
    on.check()
    assert on["order.viewed"] is ignore
    assert list(on) == ["order.viewed", "order.printed", "order.placed"]


class Paid(Placed):
    type: ClassVar[str] = "payment.held"


class Silent(BaseModel):
    meal: str


class Mute:
    type: ClassVar[str] = "order.muted"


def plain(unit: UnitOfWork, placed: Placed) -> None:
    """Not async."""


async def alone(placed: Placed) -> None:
    """Asks for no unit of work."""


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        (lambda on: on(Paid)(nothing), "payment.held is never called: queue kitchen.orders"),
        (lambda on: on.ignores(Viewed, Viewed), "order.viewed is registered twice"),
        (lambda on: on(Placed)(plain), r"order.placed is not async: plain \(.*\.py:\d+\)"),
        (lambda on: on.many(Placed)(plain), "order.placed is not async: plain"),
        (lambda on: on(Placed)(alone), r"has to take \(unit, event\): alone"),
        (lambda on: on(Mute), r"event class Mute cannot be read: give it a classmethod parse"),
        (lambda on: on(Silent), "event class Silent has no type: give it"),
        (lambda _: Handlers(ORDERS, Silent), "event class Silent has no type: give it"),
    ],
    ids=[
        "an event of another queue",
        "two of one event",
        "a plain function",
        "a plain function of many",
        "too few parameters",
        "no way to read",
        "no type",
        "expected without a type",
    ],
)
def test_a_mistake_is_refused_where_it_is_made(
    on: Handlers, mistake: Callable[[Handlers], object], said: str
) -> None:
    with pytest.raises(InvalidSetting, match=said):
        mistake(on)


async def nothing(unit: UnitOfWork, event: object) -> None:
    """Do nothing."""


def one(on: Handlers, type_: str) -> Callable[[UnitOfWork, Envelope], Any]:
    handler = on[type_]
    assert isinstance(handler, HandleOne)
    return handler.function


def many(on: Handlers, type_: str) -> Callable[[UnitOfWork, Sequence[Envelope]], Any]:
    handler = on[type_]
    assert isinstance(handler, HandleMany)
    return handler.function


def envelope(body: bytes) -> Envelope:
    stream = Stream("shop", "order", "1")
    return Envelope(uuid4(), stream, 1, "order.placed", 1, datetime.now(UTC), body, "c")

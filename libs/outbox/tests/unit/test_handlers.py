"""What is no handler is refused when the consumer is made, in one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import pytest

from outbox import handle_many, ignore
from outbox.errors import InvalidSetting
from outbox.inbox.handlers import Around, bind
from outbox.inbox.watchdog import Watchdog

QUEUE = "kitchen.orders"


async def placed(unit: object, event: object) -> None: ...


def sync(unit: object, event: object) -> None: ...


async def yields(unit: object, event: object) -> Any:
    yield event


async def takes_one(event: object) -> None: ...


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*arguments: object) -> Any:
        return function(*arguments)

    return wrapper


class Kitchen:
    async def __call__(self, unit: object, event: object) -> None: ...

    async def cook(self, unit: object, event: object) -> None: ...

    def serve(self, unit: object, event: object) -> None: ...


class Waiter:
    def __call__(self, unit: object, event: object) -> None: ...


@pytest.mark.parametrize(
    "handler",
    [
        placed,
        partial(placed),
        lambda _unit, event: placed(None, event),
        traced(placed),
        Kitchen(),
        Kitchen().cook,
        partial(Kitchen().cook),
        handle_many(placed),
        ignore,
    ],
)
def test_whatever_can_be_awaited_is_a_handler(handler: Any) -> None:
    assert bind(QUEUE, {"order.placed": handler}).known == ["order.placed"]


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (sync, r"handler of order\.placed is not async: sync \(.*test_handlers\.py:\d+\)"),
        (partial(sync), r"handler of order\.placed is not async: .*"),
        (traced(sync), r"handler of order\.placed is not async: sync .*"),
        (handle_many(sync), r"handler of order\.placed is not async: sync .*"),  # type: ignore[arg-type]
        (Kitchen().serve, r"handler of order\.placed is not async: Kitchen\.serve .*"),
        (Waiter(), r"handler of order\.placed is not async: .*Waiter.*"),
        (yields, r"handler of order\.placed is not async: yields .*"),
        (takes_one, r"handler of order\.placed has to take \(unit, event\): takes_one .*"),
        (None, r"handler of order\.placed is not callable: None"),
        ("placed", r"handler of order\.placed is not callable: 'placed'"),
    ],
)
def test_what_cannot_be_awaited_is_refused_with_its_location(handler: Any, says: str) -> None:
    with pytest.raises(InvalidSetting) as refused:
        bind(QUEUE, {"order.placed": handler})
    assert re.fullmatch(says, str(refused.value))


@pytest.mark.parametrize("seconds", [60, 100, -1])
def test_a_time_limit_at_which_the_process_ends_is_refused(seconds: float) -> None:
    says = r"time_limit of the handler of order\.placed has to be below hangs_after, which is 60 s"
    with pytest.raises(InvalidSetting, match=f"{says}, not {seconds}"):
        bind(
            QUEUE,
            {"order.placed": handle_many(placed, time_limit=seconds)},
            around=Around(Watchdog(60)),
        )


@pytest.mark.parametrize("handlers", [[placed], placed, None, {("order.placed", placed)}])
def test_handlers_that_are_not_a_mapping_are_refused(handlers: Any) -> None:
    kind = type(handlers).__name__
    with pytest.raises(
        InvalidSetting, match=f"a mapping of event type to handler is needed, not {kind}"
    ):
        bind(QUEUE, handlers)


def test_a_type_that_is_not_text_is_refused() -> None:
    with pytest.raises(InvalidSetting, match=r"handlers of kitchen\.orders: 7 is no event type"):
        bind(QUEUE, {7: placed})  # type: ignore[dict-item]


def test_a_value_other_than_park_and_skip_is_refused() -> None:
    with pytest.raises(ValueError, match="unhandled has to be 'park' or 'skip', not 'drop'"):
        bind(QUEUE, {}, "drop")  # type: ignore[arg-type]

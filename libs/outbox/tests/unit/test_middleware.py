"""Middleware runs around a handler, sees its outcome, and hides none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import pytest

from outbox import Handling, Middleware, Proceed
from outbox.errors import InvalidSetting
from outbox.inbox.middleware import compose, given

seen: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_seen() -> None:
    seen.clear()


def handling() -> Handling:
    nothing = cast("Any", None)
    return Handling("kitchen.orders", "order.placed", [], nothing, nothing)


def named(name: str) -> Middleware:
    async def middleware(handling: Handling, proceed: Proceed) -> None:
        seen.append(f"{name} before")
        try:
            await proceed(handling)
        except Exception as problem:
            seen.append(f"{name} failed: {type(problem).__name__}")
            raise
        seen.append(f"{name} after")

    return middleware


async def works(handling: Handling) -> None:
    seen.append(handling.type)


async def fails(handling: Handling) -> None:
    raise KeyError("broken")


async def test_the_first_is_the_outermost() -> None:
    await compose(works, *given(named("a"), named("b")))(handling())
    assert seen == ["a before", "b before", "order.placed", "b after", "a after"]


async def test_each_sees_the_failure() -> None:
    with pytest.raises(KeyError):
        await compose(fails, *given(named("a"), named("b")))(handling())
    assert seen[2:] == ["b failed: KeyError", "a failed: KeyError"]


async def swallows(handling: Handling, proceed: Proceed) -> None:
    with suppress(Exception):
        await proceed(handling)


async def swallows_everything(handling: Handling, proceed: Proceed) -> None:
    with suppress(BaseException):
        await proceed(handling)


async def replaces(handling: Handling, proceed: Proceed) -> None:
    try:
        await proceed(handling)
    except KeyError:
        raise ValueError("worse") from None


async def tries_twice(handling: Handling, proceed: Proceed) -> None:
    with suppress(KeyError):
        await proceed(handling)
    await proceed(handling)


async def leaves_out(handling: Handling, proceed: Proceed) -> None:
    """The handler is not called: the event has no effect."""


async def test_a_failure_that_is_swallowed_is_raised_all_the_same() -> None:
    with pytest.raises(KeyError):
        await compose(fails, *given(swallows))(handling())


async def test_a_failure_may_become_another_one() -> None:
    with pytest.raises(ValueError, match="worse"):
        await compose(fails, *given(replaces))(handling())


async def test_a_second_try_that_succeeds_is_a_success() -> None:
    tries: list[int] = []

    async def fails_once(handling: Handling) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise KeyError("once")

    await compose(fails_once, *given(tries_twice))(handling())
    assert len(tries) == 2


async def test_a_handler_may_be_left_out() -> None:
    await compose(works, *given(leaves_out))(handling())
    assert seen == []


async def test_a_cancellation_that_is_swallowed_is_raised_all_the_same() -> None:
    began = asyncio.Event()

    async def waits(handling: Handling) -> None:
        began.set()
        await asyncio.sleep(600)

    call = compose(waits, *given(swallows_everything))
    task = asyncio.create_task(cast("Any", call(handling())))
    await began.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_object_may_be_one() -> None:
    class Counting:
        calls = 0

        async def __call__(self, handling: Handling, proceed: Proceed) -> None:
            self.calls += 1
            await proceed(handling)

    counting = Counting()
    await compose(works, *given(counting))(handling())
    assert (counting.calls, seen) == (1, ["order.placed"])


def plain(handling: Handling, proceed: Proceed) -> None: ...


async def takes_one(handling: Handling) -> None: ...


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        (plain, r"middleware is not async: plain \(.*test_middleware\.py:\d+\)"),
        (takes_one, r"middleware has to take \(handling, proceed\): takes_one"),
        ("counting", "middleware is not callable: 'counting'"),
    ],
)
def test_what_is_no_middleware_is_refused(mistake: Callable[..., Any], says: str) -> None:
    with pytest.raises(InvalidSetting, match=says):
        given(mistake)

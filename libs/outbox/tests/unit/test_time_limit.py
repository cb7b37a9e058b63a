"""The time limit cancels one call, says where it waited, and lets nothing pass for success."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import pytest

from outbox.errors import TimeLimitExceeded
from outbox.inbox.time_limit import TimeLimit
from outbox.tracebacks import traceback_of

SHORT = 0.05


async def ask() -> None:
    await asyncio.sleep(600)


def limit(seconds: float = SHORT) -> TimeLimit:
    return TimeLimit(seconds)


async def test_a_call_that_waits_is_cancelled_and_the_error_names_its_line() -> None:
    line = ask.__code__.co_firstlineno + 1
    with pytest.raises(TimeLimitExceeded) as raised:
        await limit().keep(ask())
    assert str(raised.value) == (
        f"cancelled after 0.05 s (time_limit); it waited at {__file__}:{line} in ask"
    )
    told = traceback_of(raised.value)
    assert f"{__file__}:{line} in ask\n    await asyncio.sleep(600)" in told
    assert "CancelledError" in told
    await asyncio.sleep(0)  # the task itself is not being cancelled any more


async def test_a_call_in_time_is_left_alone_and_the_timer_serves_the_next_one() -> None:
    one = limit(0.5)
    for _ in range(4):
        await one.keep(asyncio.sleep(0.15))
    with pytest.raises(TimeLimitExceeded):
        await one.keep(ask())


async def test_each_of_several_calls_has_its_own_time() -> None:
    one, ended = limit(1.0), list[str]()

    async def call(name: str, seconds: float) -> None:
        try:
            await one.keep(asyncio.sleep(seconds))
        except TimeLimitExceeded:
            ended.append(f"{name} cancelled")
        else:
            ended.append(name)

    async with asyncio.TaskGroup() as group:
        group.create_task(call("first", 600))
        await asyncio.sleep(0.5)
        group.create_task(call("second", 0.75))
        group.create_task(call("third", 600))
    assert ended == ["first cancelled", "second", "third cancelled"]


async def test_a_cancellation_that_was_swallowed_is_a_failure_all_the_same() -> None:
    async def swallows() -> None:
        with suppress(asyncio.CancelledError):
            await ask()

    with pytest.raises(TimeLimitExceeded, match="in ask"):
        await limit().keep(swallows())


async def test_what_a_cancelled_call_raised_is_the_cause() -> None:
    async def cleans_up() -> None:
        try:
            await ask()
        finally:
            raise KeyError("in the cleaning up")

    with pytest.raises(TimeLimitExceeded) as raised:
        await limit().keep(cleans_up())
    assert isinstance(raised.value.__cause__, KeyError)


async def test_a_task_that_is_cancelled_from_outside_too_stays_cancelled() -> None:
    cleaning = asyncio.Event()

    async def cleans_up() -> None:
        try:
            await ask()
        finally:
            cleaning.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(600)

    task = asyncio.create_task(limit().keep(cleans_up()))
    await cleaning.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_and_a_cancellation_within_the_time_are_unchanged() -> None:
    async def fails() -> None:
        raise KeyError("its own")

    with pytest.raises(KeyError):
        await limit().keep(fails())
    task = asyncio.create_task(limit(600).keep(ask()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_group_of_tasks_ends_with_its_call() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def asks_twice() -> None:
        async with asyncio.TaskGroup() as group:
            tasks.extend((group.create_task(ask()), group.create_task(ask())))

    with pytest.raises(TimeLimitExceeded, match=re.escape(f"{__file__}:")):
        await limit().keep(asks_twice())
    assert all(task.cancelled() for task in tasks)


async def test_zero_is_no_limit() -> None:
    await limit(0).keep(asyncio.sleep(SHORT))

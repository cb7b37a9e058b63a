"""Running until told to stop: what ends a session or a call, and what happens then."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from aiormq.exceptions import ChannelAccessRefused

from outbox.delays import ReconnectDelay
from outbox.errors import HandlerCancelled, OutboxError, TopologyMismatch
from outbox.losses import Server, lost, one_line, refusal
from outbox.outages import OUTAGES, Dependent, quiet

T = TypeVar("T")


logger = logging.getLogger(__name__)

Up = Callable[[str], None]
"""A session calls it when it has all its connections, with what it does now."""
STEADY_AFTER = 10.0
AGAIN = 1.0
"""Seconds until a session that the topology has forbidden is tried again."""


async def pause(stop: asyncio.Event, seconds: float, wake: asyncio.Event | None = None) -> None:
    """Sleep until told to stop, or to `wake`, at most this long."""
    # Not wait_for: before Python 3.12 it swallows a cancellation that comes together with `stop`.
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            if wake is None:
                await stop.wait()
            else:
                await run_until_first(stop.wait(), wake.wait())


async def keep_running(
    name: str, session: Callable[[Up], Awaitable[None]], stop: asyncio.Event
) -> None:
    """Run sessions one after the other until told to stop. No state outlives a session.

    After a lost server the next session starts. Other errors are raised: bugs, an `OutboxError`,
    and a server's refusal before the first session was up.
    """
    dependent, delay, was_up = Dependent(name), ReconnectDelay(), False

    def up(does: str) -> None:
        nonlocal was_up
        if not was_up:
            logger.info("%s %s", name, does)
        was_up = True
        OUTAGES.found(dependent)

    try:
        while not stop.is_set():
            began = time.monotonic()
            try:
                with quiet("psycopg"):
                    await session(up)
            except (asyncio.CancelledError, Exception) as problem:
                server = _lost_or_raise(problem, first=not was_up)
                steady = time.monotonic() - began > STEADY_AFTER
                if steady:
                    delay.reset()
                OUTAGES.lost(dependent, server, one_line(problem), steady=steady)
                await pause(stop, delay.after_failure())
    finally:
        OUTAGES.ended(dependent)


class Enduring:
    """Runs sessions, and pauses while the topology forbids them (decision 1212)."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._logged: str | None = None

    async def run(self, session: Callable[[], Awaitable[None]], stop: asyncio.Event) -> None:
        """Run one session. A topology that forbids it is logged once and waited for."""
        before, self._logged = self._logged, None
        try:
            await session()
        except (TopologyMismatch, ChannelAccessRefused) as problem:
            self._logged = one_line(problem)
        if self._logged is not None:
            if self._logged != before:
                logger.error("%s is down until this is mended: %s", self._name, self._logged)
            await pause(stop, AGAIN)


async def outlive(
    session: Callable[[], Awaitable[None]],
    failed: Callable[[Exception], None],
    stop: asyncio.Event,
    delay: Callable[[], float],
) -> None:
    """Run sessions one after the other until told to stop; no error ends this.

    It is for a task whose end would go unnoticed. `failed` hears every error; `delay` gives the
    seconds until the next session begins after one.
    """
    while not stop.is_set():
        try:
            await session()
        except Exception as problem:
            failed(problem)
            await pause(stop, delay())


async def together(*parts: Coroutine[Any, Any, object]) -> None:
    """Run these side by side until all have ended; the first error ends the others.

    The error is raised without a group around it, so that a refusal is one line.
    """
    try:
        async with asyncio.TaskGroup() as group:
            for part in parts:
                group.create_task(part)
    except BaseExceptionGroup as problems:
        raised = problems
    else:
        return
    purposes, others = raised.split(OutboxError)
    if others is None and purposes is not None:
        raise purposes.exceptions[0]
    raise raised if len(raised.exceptions) > 1 else raised.exceptions[0]


async def run_until_first(*parts: Coroutine[Any, Any, object]) -> None:
    """Run these side by side until one ends; then cancel the others and raise its error.

    If several ended at once, the error of the first one in the order given is raised.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            if not task.done():
                task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it is over, whatever its result."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _lost_or_raise(problem: BaseException, *, first: bool) -> Server:
    refused = refusal(problem, first=first)
    if refused is problem:
        raise problem
    if refused is not None:
        raise refused from problem
    server = lost(problem)
    if server is None:
        raise problem
    return server


async def whole(calling: Awaitable[T]) -> T:
    """The result of the call, unless this task was asked to end meanwhile.

    Raises CancelledError if it was, also if the code swallowed the request: it may have left out
    something. Raises `HandlerCancelled` for a CancelledError that the code raised by itself.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task else 0
    try:
        result = await calling
    except asyncio.CancelledError as problem:
        if task and task.cancelling() > before:
            raise
        raise HandlerCancelled from problem
    if task and task.cancelling() > before:
        raise asyncio.CancelledError
    return result

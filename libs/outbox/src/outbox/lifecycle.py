"""Running for ever: reconnect after a loss, end when told to."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from outbox.broker import LOST as BROKER_LOST

log = logging.getLogger(__name__)

LOST: tuple[type[BaseException], ...] = (*BROKER_LOST, psycopg.Error, DBAPIError, PoolTimeout)
STEADY_AFTER = 10.0
Connection = TypeVar("Connection", bound="psycopg.AsyncConnection[Any]")
CEILING = 2.0

# A lost server is noticed after some 15 s (libpq, "Parameter Key Words") instead of the kernel's
# quarter of an hour, or two hours by a connection that only listens.
SHORT_KEEPALIVES: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "connect_timeout": 5,
}


async def pause(stop: asyncio.Event, seconds: float) -> None:
    """Sleep, but not past the call to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return


async def reconnecting(
    name: str, session: Callable[[], Awaitable[None]], stop: asyncio.Event
) -> None:
    """Run sessions one after the other until told to stop. Each begins from nothing.

    What is raised on purpose (`OutboxError`) goes through: it does not mend itself. A cancellation
    that nobody asked for is a loss: aiormq cancels what waits on a connection that fell silent.
    """
    failures = 0
    while not stop.is_set():
        began = time.monotonic()
        try:
            await session()
        except (asyncio.CancelledError, Exception) as problem:
            if not _is_loss(problem):
                raise
            failures = 1 if time.monotonic() - began > STEADY_AFTER else failures + 1
            level = logging.WARNING if failures == 1 else logging.DEBUG
            log.log(level, "%s lost its connection, tries again: %s", name, one_line(problem))
            await pause(stop, _delay(failures) * random.uniform(0.5, 1.0))  # noqa: S311


async def first_of(*parts: Coroutine[Any, Any, object]) -> None:
    """Run these side by side until one ends; the others are cancelled then, and its error raised.

    The first part in the order given goes first when several ended at once.
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


async def connected(connecting: Awaitable[Connection]) -> Connection:
    """A connection to PostgreSQL. Cancelled in mid-way it is closed: a server would keep it."""
    opening = asyncio.ensure_future(connecting)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(psycopg.Error, OSError):
            await (await opening).close()
        raise


async def end(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it is over, whatever comes of it."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _delay(failures: int) -> float:
    """Seconds, however long the outage: a power without a limit ends in an OverflowError."""
    return min(0.1 * 2.0 ** min(failures, 30), CEILING)


def _is_loss(problem: BaseException) -> bool:
    if isinstance(problem, asyncio.CancelledError):
        task = asyncio.current_task()
        return task is not None and not task.cancelling()
    return isinstance(problem, LOST)


def one_line(problem: BaseException) -> str:
    """An error's first line, or its type where it has none."""
    return str(problem).strip().partition("\n")[0] or type(problem).__name__

"""Waiting for a condition with a deadline, in place of sleeping for a guessed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def eventually(condition: Callable[[], Awaitable[bool]], *, within: float = 60) -> None:
    """Wait until the condition holds; TimeoutError when it does not hold within that time."""
    async with asyncio.timeout(within):
        while not await condition():  # noqa: ASYNC110 the condition is in another process
            await asyncio.sleep(0.02)


def wait_until(condition: Callable[[], bool], *, within: float = 30) -> None:
    """The same for tests without an event loop; AssertionError when the time is up."""
    assert until(condition, within), "the condition never held"


def until(condition: Callable[[], bool], within: float) -> bool:
    """Wait until the condition holds or the time is up, and say which."""
    deadline = time.monotonic() + within
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return holds

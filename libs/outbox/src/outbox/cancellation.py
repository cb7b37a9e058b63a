"""Cancelling somebody else's code: what this task is asked is obeyed, all else is a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from outbox.errors import HandlerCancelled

T = TypeVar("T")


async def whole(calling: Awaitable[T]) -> T:
    """What it returns, if nobody asked this task to end meanwhile.

    Raises CancelledError where somebody did, also if the code swallowed it: what it left out is
    not known. Raises `HandlerCancelled` for a CancelledError that the code let out by itself.
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

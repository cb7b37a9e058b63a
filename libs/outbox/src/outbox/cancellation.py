"""Cancellation around a user's code: obeyed if this task was asked to end, else a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from outbox.errors import HandlerCancelled

T = TypeVar("T")


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

"""So many at once and no more: those who wait too long for their turn are told so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

__all__ = ["one_of"]


@asynccontextmanager
async def one_of(
    slots: asyncio.Semaphore, *, within: float, otherwise: Exception
) -> AsyncIterator[None]:
    """Have one of the slots during the block.

    Raises `otherwise` if none is free within so many seconds.
    """
    try:
        async with asyncio.timeout(within):
            await slots.acquire()
    except TimeoutError:
        raise otherwise from None
    try:
        yield
    finally:
        slots.release()

"""A pause ends by time, by its event or by a cancellation, and swallows none of them."""

from __future__ import annotations

import asyncio

import pytest

from outbox.supervise import pause


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_that_comes_just_after_the_event_is_not_swallowed(turns: int) -> None:
    heard = asyncio.Event()

    async def pausing() -> None:
        while True:
            await pause(heard, 60)
            heard.clear()

    task = asyncio.create_task(pausing())
    await asyncio.sleep(0.01)
    heard.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task], timeout=5)
    assert task.cancelled()


async def test_a_pause_is_over_when_its_time_is() -> None:
    await asyncio.wait_for(pause(asyncio.Event(), 0.01), 5)

"""Who sends large bodies waits for others who do, and nobody else waits for them."""

from __future__ import annotations

import asyncio

import pytest

from servicekit.json_body import MalformedJson
from servicekit.large_bodies import LARGE, LargeBodies

LARGE_BODY, SMALL_BODY = b'"' + b"x" * LARGE + b'"', b'"x"'


async def test_a_small_body_is_read_between_two_large_ones() -> None:
    read: list[int] = []
    bodies = LargeBodies(lambda body: read.append(len(body)))
    async with asyncio.TaskGroup() as group:
        for body in (LARGE_BODY, LARGE_BODY, SMALL_BODY, SMALL_BODY):
            group.create_task(bodies.parse(body))
    assert read == [len(LARGE_BODY), 3, 3, len(LARGE_BODY)]


async def test_a_refused_body_gives_its_turn_to_the_next() -> None:
    bodies = LargeBodies()
    refused = bodies.parse(b"[" * 2 + b" " * LARGE)
    with pytest.raises(MalformedJson):
        await refused
    assert await bodies.parse(LARGE_BODY) == "x" * LARGE


async def test_whoever_hangs_up_while_waiting_leaves_the_turns_in_order() -> None:
    bodies = LargeBodies()
    first, second, third = (asyncio.create_task(bodies.parse(LARGE_BODY)) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    assert await first == await third
    assert second.cancelled()

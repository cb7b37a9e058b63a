"""A process that is killed while it notes what is missing, or asks for it: nothing is forgotten."""

from __future__ import annotations

import signal

import pytest

from kit.outbox.beacons import asks, beacon, chain, has_number, misses, requests, send
from kit.outbox.consumer_process import start
from kit.outbox.deliveries import effects, events, has_effects, publish
from kit.outbox.world import World
from kit.waiting import eventually
from outbox.failpoints import MISSING_STEPS
from outbox.resend_events import StreamRanges

LOST = StreamRanges("order", "a", ((2, 3),))


@pytest.mark.parametrize("step", MISSING_STEPS)
async def test_what_is_missing_is_asked_for_and_arrives(world: World, step: str) -> None:
    async with world.broker():
        pass
    await publish(world, *events(1, "a"))
    await send(world, beacon(1), beacon(2, a=3))
    environment = {"MISSING_AFTER": "1", "APP_ENV": "test"}
    dying = await start(world, **environment, OUTBOX_FAILPOINT=step)
    assert await dying.wait() == -signal.SIGKILL
    before = len(await requests(world))
    assert before == (1 if step == "missing.asked" else 0)
    living = await start(world, **environment)
    try:
        await eventually(lambda: has_number(world, 2))
        await eventually(lambda: asks(world, 1))
        await publish(world, *events(2, "a", first=2))
        await eventually(lambda: has_effects(world, 3))
        await eventually(lambda: misses(world, {}))
    finally:
        living.send_signal(signal.SIGTERM)
        await living.wait()
    assert await effects(world) == {"a": [1, 2, 3]}
    assert await chain(world) == (2, None)
    assert all(found.streams == (LOST,) for found in await requests(world))

"""A process that is killed while it answers a request, or notes an answer: all is done once."""

from __future__ import annotations

import signal

import pytest

from kit.outbox.beacons import WITH_WAY_BACK, beacon, misses, send
from kit.outbox.consumer_process import start
from kit.outbox.deliveries import effects, has_effects, record
from kit.outbox.world import QUEUE, SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox.failpoints import CONSUMER_STEPS
from outbox.resend_events import EventsUnavailable, ResendRequested, StreamRanges
from outbox.testing import emitted

KEPT = 3
ASKED = StreamRanges("order", "a", ((1, 5),))
GONE = StreamRanges("order", "a", ((4, 5),))
REQUEST, ANSWER = 1, 2
"""What the process handles first, and what it handles second."""


DEATHS = [(step, REQUEST) for step in CONSUMER_STEPS if step != "consumer.noted"]
DEATHS += [("consumer.handled", ANSWER), ("consumer.committed", ANSWER)]


@pytest.mark.parametrize(("step", "nth"), DEATHS)
async def test_what_is_asked_for_goes_again_and_what_is_gone_is_known(
    world: World, step: str, nth: int
) -> None:
    world.topology = WITH_WAY_BACK
    await world.emit(*(Happened("a") for _ in range(KEPT)))
    await world.execute("UPDATE outbox SET published_at = clock_timestamp()")
    environment = {"ANSWERS": "1", "APP_ENV": "test"}
    async with running(world.relay(), world.consumer(record)):
        await send(world, beacon(1, a=5))
        await eventually(lambda: misses(world, {"a": "{[1,6)}"}))
        async with world.work.begin() as unit:
            await unit.emit(ResendRequested(SOURCE, QUEUE, (ASKED,)))
        dying = await start(world, **environment, OUTBOX_FAILPOINT=f"{step}:{nth}")
        assert await dying.wait() == -signal.SIGKILL
        living = await start(world, **environment)
        try:
            await eventually(lambda: has_effects(world, KEPT))
            await eventually(lambda: is_unrecoverable(world, "{[4,6)}"))
            await eventually(lambda: misses(world, {"a": "{[4,6)}"}))
        finally:
            living.send_signal(signal.SIGTERM)
            await living.wait()
    assert await effects(world) == {"a": [1, 2, 3]}
    [answer] = await emitted(world.work, EventsUnavailable)
    assert (answer.consumer, answer.streams) == (QUEUE, (GONE,))


async def is_unrecoverable(world: World, sequences: str) -> bool:
    return await world.rows("SELECT unrecoverable::text FROM inbox_missing") == [(sequences,)]

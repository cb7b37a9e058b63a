"""A process that is killed while it answers a request: one answer, and all events go again."""

from __future__ import annotations

import signal

import pytest

from kit.outbox.beacons import WITH_WAY_BACK
from kit.outbox.consumer_process import start
from kit.outbox.deliveries import effects, has_effects, record
from kit.outbox.world import QUEUE, SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox.failpoints import CONSUMER_STEPS
from outbox.resend_events import EventsUnavailable, ResendRequested, StreamRanges
from outbox.testing import emitted

LOST = StreamRanges("order", "a", ((1, 3),))
GONE = StreamRanges("order", "a", ((4, 5),))
ASKED = StreamRanges("order", "a", ((1, 5),))


@pytest.mark.parametrize("step", [step for step in CONSUMER_STEPS if step != "consumer.noted"])
async def test_what_is_asked_for_goes_again_and_what_is_gone_is_said_once(
    world: World, step: str
) -> None:
    world.topology = WITH_WAY_BACK
    await world.emit(*(Happened("a") for _ in range(LOST.count)))
    await world.execute("UPDATE outbox SET published_at = clock_timestamp()")
    async with world.work.begin() as unit:
        await unit.emit(ResendRequested(SOURCE, QUEUE, (ASKED,)))
    environment = {"ANSWERS": "1", "APP_ENV": "test"}
    async with running(world.relay(), world.consumer(record)):
        dying = await start(world, **environment, OUTBOX_FAILPOINT=step)
        assert await dying.wait() == -signal.SIGKILL
        living = await start(world, **environment)
        try:
            await eventually(lambda: has_effects(world, LOST.count))
            await eventually(lambda: world.has_unpublished(0))
        finally:
            living.send_signal(signal.SIGTERM)
            await living.wait()
    assert await effects(world) == {"a": [1, 2, 3]}
    [answer] = await emitted(world.work, EventsUnavailable)
    assert (answer.consumer, answer.streams) == (QUEUE, (GONE,))

"""A relay killed while it publishes asked-for events again, beside new ones of the same streams.

The events were published before and got lost: the outbox table has them, the queue does not.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import AbstractAsyncContextManager

import pytest

from kit.outbox.beacons import WITH_WAY_BACK, answering, beacon, misses, requests, send
from kit.outbox.deliveries import effects, has_effects, record
from kit.outbox.processes.relay import relay_process
from kit.outbox.world import SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox.inbox.middleware import Handling, Proceed
from outbox.resend_events import EventsUnavailable, StreamRanges
from outbox.testing import emitted

NAMES = [f"s{n}" for n in range(6)]
LOST = 4
"""So many events of each stream are asked for: 24 in all, in windows of seven."""
ASKED = tuple(StreamRanges("order", name, ((1, LOST),)) for name in NAMES)
STEPS = ("relay.read", "relay.written", "relay.confirmed", "relay.marked")


@pytest.mark.parametrize("nth", [3, 5])
@pytest.mark.parametrize("step", STEPS)
async def test_what_is_asked_for_takes_effect_once_and_in_order(
    world: World, step: str, nth: int
) -> None:
    """New events and the request are one window or two; what is asked for are the next four."""
    world.topology = WITH_WAY_BACK
    await lose(world)
    asking = world.consumer(record, resend=[SOURCE], missing_after=1)
    async with running(asking, answering(world, middleware=[with_new_events])):
        await send(world, beacon(1, **dict.fromkeys(NAMES, LOST)))
        await eventually(lambda: misses(world, dict.fromkeys(NAMES, f"{{[1,{LOST + 1})}}")))
        async with relay(world, die_at=f"{step}:{nth}") as doomed:
            await world.emit(*(Happened(name) for name in NAMES))
            assert await asyncio.wait_for(doomed.wait(), 30) == -signal.SIGKILL
        assert await world.rows(LAST) == [(LOST + 2,)], "it has died after the answer"
        async with relay(world):
            await eventually(lambda: has_effects(world, len(NAMES) * (LOST + 2)))
            await eventually(lambda: world.has_unpublished(0))
            await eventually(lambda: misses(world, {}))
    assert await effects(world) == {name: [*range(1, LOST + 3)] for name in NAMES}
    asked = [request.streams for request in await requests(world)]
    assert asked[0] == ASKED
    assert len(asked) <= 3, "again a second after a stream has moved, and 15 s after that"
    assert await emitted(world.work, EventsUnavailable) == []


LAST = "SELECT max(sequence) FROM outbox WHERE aggregate_type = 'order'"


def relay(
    world: World, *, die_at: str = ""
) -> AbstractAsyncContextManager[asyncio.subprocess.Process]:
    urls = world.database_url, world.broker_url
    return relay_process(*urls, die_at=die_at, window=7, beacon_every=0)


async def lose(world: World) -> None:
    """Events that count as published and are in no queue."""
    for _ in range(LOST):
        await world.emit(*(Happened(name) for name in NAMES))
    await world.execute("UPDATE outbox SET published_at = clock_timestamp()")


async def with_new_events(handling: Handling, proceed: Proceed) -> None:
    """New events become visible together with those that go again for the first time."""
    await proceed(handling)
    newest = await handling.unit.connection.exec_driver_sql(LAST)
    if newest.scalar_one() == LOST + 1:
        await handling.unit.emit(*(Happened(name) for name in NAMES))

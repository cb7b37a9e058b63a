"""Processes that die at every step of the consumer, and events that they die of.

What is looked at is only what the database and the queue say afterwards.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kit.outbox.consumer_process import start
from kit.outbox.deliveries import (
    effects,
    events,
    has_effects,
    parks,
    publish,
    queue_is_empty,
    stream_of,
)
from kit.outbox.world import QUEUE, World
from kit.waiting import eventually
from outbox.inbox.operations import InboxOperations, ParkedSelection


async def ended(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(60):
        return await process.wait()


@asynccontextmanager
async def supervised(world: World, **environment: str) -> AsyncIterator[list[int]]:
    """Started again each time it dies; the exit statuses."""
    statuses: list[int] = []
    process = await start(world, **environment)

    async def watch() -> None:
        nonlocal process
        while True:
            statuses.append(await process.wait())
            process = await start(world, **environment)

    watching = asyncio.create_task(watch())
    try:
        yield statuses
    finally:
        watching.cancel()
        process.send_signal(signal.SIGTERM)
        await ended(process)


@pytest.mark.parametrize("step", ["delivered", "locked", "handled", "committed", "acked"])
async def test_a_consumer_killed_at_a_step_loses_nothing_and_repeats_nothing(
    world: World, step: str
) -> None:
    async with world.broker():
        pass
    batch = [event for name in "abc" for event in events(4, name)]
    await publish(world, *batch)
    killed = await start(world, APP_ENV="test", OUTBOX_FAILPOINT=f"consumer.{step}")
    assert await ended(killed) == -signal.SIGKILL
    async with supervised(world) as statuses:
        await eventually(lambda: has_effects(world, 12))
        await publish(world, *events(1, "d"))
        await eventually(lambda: has_effects(world, 13))
        await eventually(lambda: queue_is_empty(world))
    assert await effects(world) == {**{name: [1, 2, 3, 4] for name in "abc"}, "d": [1]}
    assert await world.rows("SELECT * FROM inbox_attempts") == []
    assert statuses == []


@pytest.mark.parametrize("step", ["delivered", "locked", "handled", "committed", "acked"])
async def test_workers_in_different_steps_and_two_processes_lose_nothing_when_one_is_killed(
    world: World, step: str
) -> None:
    """Handlers wait, so that all workers of both are busy when the twelfth batch is there."""
    async with world.broker():
        pass
    names = [f"s{number}" for number in range(12)]
    found = [events(20, name) for name in names]
    await publish(world, *(some[n] for n in range(20) for some in found))
    waiting = {"HANDLER_WAITS": "0.05", "CONCURRENCY": "4", "PREFETCH": "20"}
    failpoint = {"APP_ENV": "test", "OUTBOX_FAILPOINT": f"consumer.{step}:12"}
    killed = await start(world, **waiting, **failpoint)
    async with supervised(world, **waiting) as statuses:
        assert await ended(killed) == -signal.SIGKILL
        await eventually(lambda: has_effects(world, 240))
        await eventually(lambda: queue_is_empty(world))
        await eventually(lambda: parks(world, []))
    assert await effects(world) == {name: list(range(1, 21)) for name in names}
    assert await world.rows("SELECT * FROM inbox_attempts") == []
    assert await world.rows("SELECT sum(parked)::int, bool_or(blocked) FROM inbox") == [(0, False)]
    assert statuses == []


@pytest.mark.parametrize("step", ["noted", "locked", "handled", "committed", "acked"])
async def test_a_consumer_killed_with_redelivered_events_in_hand_blames_none_of_them(
    world: World, step: str
) -> None:
    """The first process dies of nothing, the second with a batch of redelivered ones in hand."""
    async with world.broker():
        pass
    names = [f"s{number}" for number in range(10)]
    await publish(world, *(event for name in names for event in events(5, name)))
    for failpoint in ("consumer.delivered", f"consumer.{step}"):
        killed = await start(world, APP_ENV="test", OUTBOX_FAILPOINT=failpoint)
        assert await ended(killed) == -signal.SIGKILL
    async with supervised(world) as statuses:
        await eventually(lambda: has_effects(world, 50))
        await eventually(lambda: queue_is_empty(world))
    assert await effects(world) == {name: [1, 2, 3, 4, 5] for name in names}
    assert await parks(world, [])
    assert await world.rows("SELECT * FROM inbox_attempts") == []
    assert statuses == []


async def test_two_events_that_kill_are_parked_and_the_innocent_in_hand_with_them_are_not(
    world: World,
) -> None:
    async with world.broker():
        pass
    names = [f"s{number}" for number in range(40)]
    guilty = [*events(1, "poison"), *events(2, "poison late")]
    await publish(world, *(one for name in names for one in events(1, name)), *guilty)
    await publish(world, *(one for name in names for one in events(2, name)[1:]))
    async with supervised(world) as statuses:
        await eventually(lambda: parks(world, [("crashed", 1), ("crashed", 2)]))
        await eventually(lambda: has_effects(world, 81))
        await eventually(lambda: queue_is_empty(world))
        assert set(statuses) == {3}
        assert len(statuses) <= 5
    assert await effects(world) == {"poison late": [1], **{name: [1, 2] for name in names}}
    assert await world.rows("SELECT * FROM inbox_attempts") == []


async def test_a_failpoint_is_ignored_outside_of_tests(world: World) -> None:
    await publish(world, *events(1))
    process = await start(world, APP_ENV="prod", OUTBOX_FAILPOINT="consumer.handled")
    await eventually(lambda: has_effects(world, 1))
    process.send_signal(signal.SIGTERM)
    assert await ended(process) == 0


async def test_an_event_that_kills_the_process_three_times_is_parked_and_the_queue_flows(
    world: World,
) -> None:
    await publish(world, *events(3, "a"), *events(3, "poison"), *events(3, "b"))
    async with supervised(world) as statuses:
        await eventually(lambda: has_effects(world, 6))
        await eventually(lambda: parks(world, [("crashed", 1), ("behind", 2), ("behind", 3)]))
        await eventually(lambda: queue_is_empty(world))
        assert statuses == [3, 3, 3]
        async with await world.psycopg() as connection:
            await InboxOperations(connection, QUEUE).discard(
                stream_of("poison"), 1, note="it kills"
            )
        await eventually(lambda: has_effects(world, 8))
    assert await effects(world) == {"a": [1, 2, 3], "b": [1, 2, 3], "poison": [2, 3]}
    assert await world.rows("SELECT * FROM inbox_attempts") == []
    assert await world.rows("SELECT reason, note FROM inbox_discarded") == [("crashed", "it kills")]
    assert await world.rows("SELECT last_error FROM inbox_discarded") == [
        ("3 attempts ended without a result: the process was killed or its connection was lost",)
    ]


async def test_a_parked_event_that_kills_its_process_is_parked_as_crashed(
    world: World,
) -> None:
    first, second, third = events(3, "poison late")
    async with supervised(world) as statuses:
        await publish(world, second, third)
        await eventually(lambda: parks(world, [("gap", 2), ("gap", 3)]))
        await publish(world, first, *events(2, "a"))
        await eventually(lambda: parks(world, [("crashed", 2), ("gap", 3)]))
        await eventually(lambda: has_effects(world, 3))
        died = len(statuses)
        async with await world.psycopg() as connection:
            assert (
                await InboxOperations(connection, QUEUE).redrive(ParkedSelection(reason="crashed"))
                == 1
            )
        await eventually(lambda: so_many(statuses, died + 3))
        await eventually(lambda: parks(world, [("crashed", 2), ("gap", 3)]))
    assert await effects(world) == {"poison late": [1], "a": [1, 2]}


async def so_many(statuses: list[int], count: int) -> bool:
    return len(statuses) >= count


async def test_a_handler_that_hangs_ends_the_process_and_is_parked_in_the_end(
    world: World,
) -> None:
    await publish(world, *events(1, "hangs"), *events(1, "a"))
    async with supervised(world, HANGS_AFTER="2") as statuses:
        await eventually(lambda: parks(world, [("crashed", 1)]))
        await eventually(lambda: has_effects(world, 1))
        assert statuses == [70, 70, 70]


@pytest.mark.parametrize(
    ("aggregate", "line"),
    [("hangs", "time.sleep(600)"), ("refuses", "await asyncio.sleep(600)")],
    ids=["blocks the event loop", "ignores that it is cancelled"],
)
async def test_a_process_that_hangs_ends_and_says_at_which_line(
    world: World, aggregate: str, line: str
) -> None:
    [event] = events(1, aggregate)
    await publish(world, event)
    process = await start(world, asyncio.subprocess.PIPE, HANGS_AFTER="2")
    async with asyncio.timeout(60):
        _, told = await process.communicate()
    assert process.returncode == 70
    said = told.decode()
    assert f"hangs for 2 s, process ends: {event}" in said
    assert "processes/consumer.py:" in said
    assert line in said
    assert await effects(world) == {}

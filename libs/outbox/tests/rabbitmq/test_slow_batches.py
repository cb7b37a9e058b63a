"""A batch of slow handlers: what is done is committed before the rest is begun."""

from __future__ import annotations

import asyncio

from kit.outbox.deliveries import (
    effects,
    events,
    has_effects,
    publish,
    queue_is_empty,
    record,
)
from kit.outbox.world import QUEUE, World, running
from kit.waiting import eventually
from outbox import Envelope, InboxSettings, UnitOfWork
from outbox.inbox.inbox import Inbox


class Slow:
    """Takes 0.2 s an event, and keeps how many effects were visible when each was begun."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: list[int] = []
        self.fails_at: Envelope | None = None

    async def handle(self, unit: UnitOfWork, event: Envelope) -> None:
        [(count,)] = await self.world.rows("SELECT count(*) FROM effects")
        self.seen.append(int(str(count)))
        await asyncio.sleep(0.2)
        if event == self.fails_at:
            raise ValueError("broken")
        await record(unit, event)


async def test_effects_of_forty_slow_events_are_seen_while_the_rest_is_handled(
    world: World,
) -> None:
    slow, found = Slow(world), [event for n in range(8) for event in events(5, f"a{n}")]
    async with running(world.consumer(slow.handle, retry_every=60, concurrency=1)):
        await publish(world, *found)
        await eventually(lambda: has_effects(world, 40))
        await eventually(lambda: queue_is_empty(world))
    assert await effects(world) == {f"a{n}": [1, 2, 3, 4, 5] for n in range(8)}
    assert len(slow.seen) == 40, "none was handled twice"
    # A second has room for five; a busy machine has room for fewer.
    assert all(begun - seen <= 6 for begun, seen in enumerate(slow.seen))


async def test_a_committed_part_survives_a_failure_behind_it(world: World) -> None:
    slow, found = Slow(world), [*events(3, "a"), *events(3, "b")]
    slow.fails_at = found[4]
    inbox = Inbox(
        QUEUE, {"order.happened": slow.handle}, world.work, InboxSettings(commit_after=0.001)
    )
    await inbox.handle(found)
    assert await effects(world) == {"a": [1, 2, 3], "b": [1]}
    assert len(slow.seen) == 6, "five, and the failing one once more alone"


async def test_events_that_waited_behind_a_gap_are_committed_in_parts_too(world: World) -> None:
    slow, found = Slow(world), events(5)
    inbox = Inbox(
        QUEUE, {"order.happened": slow.handle}, world.work, InboxSettings(commit_after=0.001)
    )
    await inbox.handle(found[1:])
    await inbox.handle(found[:1])
    while await world.rows("SELECT FROM inbox_parked"):
        await inbox.retry_due()
    assert await effects(world) == {"a": [1, 2, 3, 4, 5]}
    assert slow.seen[1:] == [0, 2, 3, 4], "the first takes the second along, as a batch does"


async def test_a_stop_is_heard_between_two_transactions(world: World) -> None:
    slow = Slow(world)
    async with running(world.consumer(slow.handle, commit_after=0.001)) as stop:
        await publish(world, *events(30))
        await eventually(lambda: has_effects(world, 2))
        stop.set()
    assert len(slow.seen) < 30
    async with running(world.consumer(record)):
        await eventually(lambda: has_effects(world, 30))
    assert await effects(world) == {"a": list(range(1, 31))}

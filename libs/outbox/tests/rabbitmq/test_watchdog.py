"""The watchdog knows what hangs, though the event loop stands still."""

from __future__ import annotations

import threading

from kit.outbox.deliveries import events, has_effects, publish, record
from kit.outbox.world import World, running
from kit.waiting import eventually
from outbox import Envelope, UnitOfWork
from outbox.inbox.watchdog import Watchdog


async def test_a_handler_that_blocks_the_loop_is_noticed(world: World) -> None:
    noticed, what = threading.Event(), list[str]()

    def end(hanging: str) -> None:
        what.append(hanging)
        noticed.set()

    async def blocks(unit: UnitOfWork, event: Envelope) -> None:
        assert noticed.wait(60)
        await record(unit, event)

    [event] = events(1)
    await publish(world, event)
    async with running(world.consumer(blocks, watchdog=Watchdog(0.2, end))):
        await eventually(lambda: has_effects(world, 1))
    assert what == [str(event)]


async def test_a_statement_left_to_be_sent_is_noticed(world: World) -> None:
    what = list[str]()

    async def leaves(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        await unit.send("SELECT pg_sleep(3)", {})

    await publish(world, *events(1))
    async with running(world.consumer(leaves, watchdog=Watchdog(1.0, what.append))):
        await eventually(lambda: has_effects(world, 1))
    assert what == ["what was left to send for kitchen.orders"]


def test_only_what_has_not_ended_is_noticed() -> None:
    noticed, what = threading.Event(), list[str]()

    def end(hanging: str) -> None:
        what.append(hanging)
        noticed.set()

    watchdog = Watchdog(0.1, end)
    with watchdog.watching():
        for _ in range(1_000):
            watchdog.done(watchdog.start("short"))
        watchdog.start("long")
        assert noticed.wait(60)
    assert what == ["long"]

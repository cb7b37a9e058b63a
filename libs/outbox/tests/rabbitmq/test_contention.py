"""Transactions that get in each other's way are no failure of an event."""

from __future__ import annotations

import asyncio
from collections import Counter

import psycopg

from kit.outbox.deliveries import effects, events, has_effects, publish, record
from kit.outbox.world import World, running
from kit.waiting import eventually
from outbox import Envelope, UnitOfWork
from outbox.errors import Unreadable


async def test_a_deadlock_or_lock_timeout_runs_again_and_fails_no_event(world: World) -> None:
    raised = [
        psycopg.errors.DeadlockDetected("40P01"),
        psycopg.errors.SerializationFailure("40001"),
    ]

    async def unlucky(unit: UnitOfWork, event: Envelope) -> None:
        if event.sequence == 2 and raised:
            raise raised.pop()
        await record(unit, event)

    await publish(world, *events(3, "a"), *events(3, "b"))
    async with running(world.consumer(unlucky)):
        await eventually(lambda: has_effects(world, 6))
    assert await effects(world) == {"a": [1, 2, 3], "b": [1, 2, 3]}
    assert not raised
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]


async def test_a_locked_row_delays_its_own_stream_and_costs_no_attempt(world: World) -> None:
    await world.execute("CREATE TABLE stock (id text PRIMARY KEY)")
    await world.execute("INSERT INTO stock VALUES ('a'), ('b')")

    async def reserves(unit: UnitOfWork, event: Envelope) -> None:
        await unit.connection.exec_driver_sql(
            "SELECT FROM stock WHERE id = %(id)s FOR UPDATE", {"id": event.stream.aggregate_id}
        )
        await record(unit, event)

    async with await world.psycopg() as holder:
        await holder.set_autocommit(False)
        await holder.execute("SELECT FROM stock WHERE id = 'a' FOR UPDATE")
        async with running(world.consumer(reserves, lock_timeout=0.1)):
            await publish(world, *events(2, "a"), *events(2, "b"))
            await eventually(lambda: has_effects(world, 2))
            await eventually(lambda: is_parked(world))
            assert await world.rows("SELECT max(attempts) FROM inbox_parked") == [(0,)]
            await holder.rollback()
            await eventually(lambda: has_effects(world, 4))
    assert await effects(world) == {"b": [1, 2], "a": [1, 2]}


async def is_parked(world: World) -> bool:
    return await world.rows("SELECT reason FROM inbox_parked WHERE sequence = 1") == [("failed",)]


async def test_two_consumers_at_once_keep_each_stream_in_order(world: World) -> None:
    several = [event for name in "abcdefgh" for event in events(25, name)]
    half = len(several) // 2
    async with running(world.consumer(record)):
        inbox = world.consumer(record).inbox
        await asyncio.gather(
            publish(world, *several),
            *(inbox.handle(several[start : start + 20]) for start in range(0, half, 20)),
        )
        await eventually(lambda: has_effects(world, 200))
    assert await effects(world) == {name: list(range(1, 26)) for name in "abcdefgh"}


async def test_one_failing_event_does_not_make_its_batch_run_one_by_one(world: World) -> None:
    calls: Counter[str] = Counter()

    async def failing(unit: UnitOfWork, event: Envelope) -> None:
        calls[event.stream.aggregate_id] += 1
        if event.stream.aggregate_id == "b":
            raise Unreadable("no")
        await record(unit, event)

    inbox = world.consumer(failing).inbox
    await inbox.handle([event for name in "abc" for event in events(10, name)])
    assert await effects(world) == {"a": list(range(1, 11)), "c": list(range(1, 11))}
    assert calls == {"a": 20, "b": 2, "c": 10}

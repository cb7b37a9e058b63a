"""Retriers of several processes share the streams that are due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest

from kit.outbox.deliveries import effects, events, has_effects, record
from kit.outbox.world import QUEUE, World
from kit.waiting import eventually
from outbox import Envelope, Retry, UnitOfWork, metrics
from outbox.event import Stream
from outbox.inbox.inbox import Inbox
from outbox.inbox.settings import InboxSettings
from outbox.inbox.stream_claims import AT_ONCE, StreamClaims
from outbox.postgres.sessions import connect

STREAMS = 45
NOW = "UPDATE inbox_parked SET next_attempt_at = clock_timestamp() WHERE reason = 'failed'"


class Process:
    """A retrier whose handler waits until it may go on."""

    def __init__(self, world: World) -> None:
        self.tried: list[str] = []
        self.is_mended, self.may_go_on = True, asyncio.Event()
        settings = InboxSettings(failures={Exception: Retry(base=600, ceiling=600)}, breaker=None)
        self.inbox = Inbox(QUEUE, {"order.happened": self.handle}, world.work, settings)

    async def handle(self, unit: UnitOfWork, event: Envelope) -> None:
        if not self.is_mended:
            raise ValueError("broken")
        self.tried.append(event.stream.aggregate_id)
        await self.may_go_on.wait()
        await record(unit, event)

    async def has_tried(self, count: int = 1) -> bool:
        return len(self.tried) >= count

    async def park(self, world: World, streams: int) -> None:
        self.is_mended = False
        for number in range(streams):
            await self.inbox.handle(events(2, f"a{number}"))
        await world.execute(NOW)
        self.is_mended = True


@asynccontextmanager
async def claims(world: World) -> AsyncIterator[StreamClaims]:
    async with await connect(world.engine) as connection:
        yield StreamClaims(connection, QUEUE)


async def test_a_stream_that_is_retried_elsewhere_is_neither_waited_for_nor_counted(
    world: World,
) -> None:
    first, second = Process(world), Process(world)
    await first.park(world, 1)
    async with claims(world) as firsts, claims(world) as seconds:
        retrying = asyncio.create_task(first.inbox.retry_due(firsts))
        await eventually(first.has_tried)
        async with asyncio.timeout(2):
            assert not await second.inbox.retry_due(seconds)
        assert await world.rows("SELECT attempts FROM inbox_attempts") == [(1,)]
        first.may_go_on.set()
        await retrying
    assert not second.tried
    assert await effects(world) == {"a0": [1, 2]}


async def test_two_retriers_try_different_streams(world: World) -> None:
    first, second = Process(world), Process(world)
    await first.park(world, STREAMS)
    async with claims(world) as firsts, claims(world) as seconds:
        retrying = asyncio.create_task(first.inbox.retry_due(firsts))
        await eventually(first.has_tried)
        second.may_go_on.set()
        await second.inbox.retry_due(seconds)
        assert await has_effects(world, 2 * (STREAMS - AT_ONCE))
        first.may_go_on.set()
        await retrying
    assert set(first.tried).isdisjoint(second.tried)
    assert await effects(world) == {f"a{n}": [1, 2] for n in range(STREAMS)}


async def test_a_claim_ends_with_its_connection(world: World) -> None:
    process = Process(world)
    await process.park(world, 1)
    due = [event.stream for event in events(1, "a0")]
    async with claims(world) as lost, claims(world) as others:
        cursor = await lost.connection.execute("SELECT pg_backend_pid()")
        [(pid,)] = await cursor.fetchall()
        with pytest.raises(psycopg.OperationalError):
            await until_killed(lost, others, due, pid)


async def until_killed(
    lost: StreamClaims, others: StreamClaims, due: list[Stream], pid: int
) -> None:
    async with lost.some(due) as mine:
        assert mine == due
        async with others.some(due) as none:
            assert none == []
        await others.connection.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        async with others.some(due) as free:
            assert free == due


async def test_retriers_side_by_side_do_not_take_each_other_for_crashes(world: World) -> None:
    processes = [Process(world) for _ in range(4)]
    await processes[0].park(world, STREAMS)
    await asyncio.gather(*(retry_all(world, process) for process in processes))
    assert await effects(world) == {f"a{n}": [1, 2] for n in range(STREAMS)}
    assert not metrics.CRASHED.labels(QUEUE)._value.get()


async def retry_all(world: World, process: Process) -> None:
    process.may_go_on.set()
    async with claims(world) as own:
        while await world.rows("SELECT FROM inbox_parked WHERE next_attempt_at IS NOT NULL"):
            await process.inbox.retry_due(own)

"""Workers side by side in one process, and processes that compete for one queue."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from kit.outbox.deliveries import effects, events, has_effects, publish, queue_is_empty, record
from kit.outbox.world import EXCHANGE, QUEUE, TAKES, World, running
from kit.waiting import eventually
from outbox import (
    ConsumerSettings,
    Envelope,
    Outbox,
    Topology,
    UnitOfWork,
    Work,
    build_worker,
    metrics,
)
from outbox.errors import InvalidSetting
from outbox.jobs.job import Job, Result
from outbox.jobs.settings import JobSettings
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.topology import queue_arguments
from outbox.relay.settings import RelaySettings


class Waits:
    """A handler that waits, and counts how many of a stream, and how many at all, do at once."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now: Counter[str] = Counter()
        self.most = 0

    async def handle(self, unit: UnitOfWork, event: Envelope) -> None:
        name = event.stream.aggregate_id
        self.now[name] += 1
        assert self.now[name] == 1, "two of one stream at once"
        self.most = max(self.most, self.now.total())
        await asyncio.sleep(self.seconds)
        self.now[name] -= 1
        await record(unit, event)


async def test_handlers_of_different_streams_wait_side_by_side_and_those_of_one_in_turn(
    world: World,
) -> None:
    waits = Waits(0.2)
    found = [event for n in range(6) for event in events(3, f"a{n}")]
    async with running(world.consumer(waits.handle, concurrency=6)):
        await publish(world, *found)
        await eventually(lambda: has_effects(world, 18))
        await eventually(lambda: queue_is_empty(world))
    assert await effects(world) == {f"a{n}": [1, 2, 3] for n in range(6)}
    assert 3 <= waits.most <= 6


async def test_with_a_concurrency_of_one_nothing_is_handled_side_by_side(world: World) -> None:
    waits = Waits(0.01)
    async with running(world.consumer(waits.handle, concurrency=1)):
        await publish(world, *(event for n in range(6) for event in events(3, f"a{n}")))
        await eventually(lambda: has_effects(world, 18))
    assert waits.most == 1


async def test_two_consumers_of_one_queue_keep_the_order_of_each_stream(world: World) -> None:
    waits = Waits(0.005)
    names = [f"a{n}" for n in range(7)]
    found = {name: events(20, name) for name in names}
    consumers = [world.consumer(waits.handle, concurrency=3, prefetch=20) for _ in range(2)]
    async with running(*consumers):
        await publish(world, *(found[name][n] for n in range(20) for name in names))
        await eventually(lambda: has_effects(world, 140))
        await eventually(lambda: queue_is_empty(world))
    assert await effects(world) == {name: list(range(1, 21)) for name in names}
    assert await world.rows("SELECT count(*) FROM inbox_parked") == [(0,)]


async def test_a_stop_waits_for_every_worker_and_acks_what_they_did(world: World) -> None:
    waits = Waits(0.5)
    async with running(world.consumer(waits.handle, concurrency=4)) as stop:
        await publish(world, *(events(1, f"a{n}")[0] for n in range(4)))
        await eventually(lambda: side_by_side(waits, 4))
        stop.set()
    assert await effects(world) == {f"a{n}": [1] for n in range(4)}
    assert await queue_is_empty(world)


async def side_by_side(waits: Waits, count: int) -> bool:
    return waits.now.total() == count


async def test_a_queue_with_the_argument_of_earlier_releases_is_named_with_what_migrates_it(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with await connect(world.broker_url, "test") as connection:
        channel = await connection.channel()
        old = queue_arguments(QUEUE, single_active=True)
        await channel.declare_queue(QUEUE, durable=True, arguments=old)
    async with running(world.consumer(record)):
        await eventually(lambda: says(caplog, f"`outbox queues migrate {QUEUE}` makes it anew"))
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1


async def says(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(text in record.getMessage() for record in caplog.records)


async def test_a_topology_may_ask_for_a_single_active_consumer(world: World) -> None:
    world.topology = Topology([EXCHANGE], [TAKES], single_active_consumers=[QUEUE])
    async with running(world.consumer(record), world.consumer(record)):
        await publish(world, *events(3))
        await eventually(lambda: has_effects(world, 3))
    async with await connect(world.broker_url, "test") as connection:
        channel = await connection.channel()
        same = queue_arguments(QUEUE, single_active=True)
        await channel.declare_queue(QUEUE, durable=True, arguments=same)
    with pytest.raises(InvalidSetting, match="single_active_consumers no queue is named 'other'"):
        Topology([EXCHANGE], [TAKES], single_active_consumers=["other"])


async def test_a_pool_too_small_for_the_workers_of_a_queue_is_refused(world: World) -> None:
    engine = create_async_engine(world.engine.url, pool_size=5, max_overflow=0)
    world.work = Work(engine, Outbox("shop"), world.work._notifier)
    needs = f"concurrency the workers of {QUEUE} need 7 connections, the engine's pool has 5"
    with pytest.raises(InvalidSetting, match=needs):
        world.consumer(record, concurrency=5)
    assert world.consumer(record, concurrency=3).connections == 5
    await engine.dispose()


async def test_a_pool_too_small_for_all_queues_together_is_one_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    parts = build_worker(
        database_url=world.database_url,
        broker_url=world.broker_url,
        exchange=EXCHANGE,
        topology=Topology([EXCHANGE], [TAKES, replace(TAKES, queue="other")]),
        work=world.work,
        queues={QUEUE: {"order.happened": record}, "other": {"order.happened": record}},
        jobs={"call": nothing},
        consumer_settings=ConsumerSettings(concurrency=8),
        relay_settings=RelaySettings(window=10),
        job_settings=JobSettings(concurrency=1),
    )
    consumers = [f"consumer {QUEUE}", "consumer other"]
    maintenance = ["maintenance", "maintenance inbox_applied"]
    assert [*parts] == ["relay", *consumers, "jobs", *maintenance]
    assert [r.getMessage() for r in caplog.records] == [
        "all workers of 2 queues together need 20 connections, the engine's pool has 15: raise its"
        " pool_size, or workers wait for each other's connections"
    ]


async def nothing(job: Job) -> Result:
    raise AssertionError(job)


async def test_an_event_that_comes_a_moment_too_early_is_not_parked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.inbox.session.PATIENCE", 30.0)
    first, second = events(2)
    before = metrics.CONSUMED.labels(QUEUE, "gap")._value.get()
    async with running(world.consumer(record)):
        await publish(world, second)
        await asyncio.sleep(0.1)
        await publish(world, first)
        await eventually(lambda: has_effects(world, 2))
        await eventually(lambda: queue_is_empty(world))
    assert await effects(world) == {"a": [1, 2]}
    assert metrics.CONSUMED.labels(QUEUE, "gap")._value.get() == before


async def test_many_events_beyond_one_gap_are_parked_and_caught_up_in_a_few_statements(
    world: World,
) -> None:
    found = {f"a{n}": events(30, f"a{n}") for n in range(5)}
    async with running(world.consumer(record)):
        await publish(world, *(event for some in found.values() for event in some[1:]))
        await eventually(lambda: parked(world, 145))
        await publish(world, *(some[0] for some in found.values()))
        await eventually(lambda: has_effects(world, 150))
        await eventually(lambda: parked(world, 0))
    assert await effects(world) == {name: list(range(1, 31)) for name in found}
    assert await world.rows("SELECT sum(parked), bool_or(blocked) FROM inbox") == [(0, False)]


async def parked(world: World, count: int) -> bool:
    return await world.rows("SELECT count(*)::int FROM inbox_parked") == [(count,)]


async def test_streams_that_another_process_has_in_hand_are_not_waited_for(world: World) -> None:
    """Neither one whose row it has locked for long, nor one that begins there."""
    old, new, free = events(2, "old"), events(2, "new"), events(2, "free")
    async with running(world.consumer(record)):
        await publish(world, old[0])
        await eventually(lambda: has_effects(world, 1))
        async with await world.psycopg() as other, other.transaction():
            await other.execute("SELECT FROM inbox WHERE aggregate_id = 'old' FOR UPDATE")
            await other.execute(_BEGINS_ELSEWHERE, [QUEUE, "shop", new[0].id])
            await publish(world, old[1], new[1], *free)
            await eventually(lambda: has_effects(world, 3))
        await eventually(lambda: has_effects(world, 5))
        await eventually(lambda: queue_is_empty(world))
    assert await effects(world) == {"old": [1, 2], "new": [2], "free": [1, 2]}
    assert await world.rows("SELECT * FROM inbox_attempts") == []


_BEGINS_ELSEWHERE = """
INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id, last_sequence, last_event_id)
VALUES (%s, %s, 'order', 'new', 1, %s)
"""

"""A consumer stores when it received and applied each event: once, and for nothing else."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import replace
from datetime import datetime, timedelta

from kit.outbox.consumer_process import start
from kit.outbox.day_partitions import exists, today
from kit.outbox.deliveries import effects, events, has_effects, publish, record
from kit.outbox.world import QUEUE, Happened, World, running
from kit.waiting import eventually
from outbox import Envelope, Maintenance, UnitOfWork
from outbox.inbox.inbox import Inbox
from outbox.postgres.day_partitions import INBOX_APPLIED
from outbox.rabbitmq.cloudevents import UNKNOWN_TIME

TIMES = "SELECT unnest(event_ids), oldest_at, began_at, applied_at FROM inbox_applied"


async def stored(world: World) -> list[tuple[object, ...]]:
    return await world.rows("SELECT unnest(event_ids) FROM inbox_applied")


async def test_the_times_of_an_event_are_in_order(world: World) -> None:
    async with running(world.relay(), world.consumer(record)):
        await world.emit(*(Happened(name) for name in "abc"))
        await eventually(lambda: has_effects(world, 3))
        await eventually(lambda: world.has_unpublished(0))
    rows = await world.rows(
        "SELECT o.created_at, o.published_at, a.began_at - make_interval(secs => e.waited),"
        "       a.began_at, a.applied_at, a.oldest_at, a.consumer"
        "  FROM inbox_applied a CROSS JOIN unnest(a.event_ids, a.waited) AS e(id, waited)"
        "  JOIN outbox o ON o.event_id = e.id"
    )
    assert len(rows) == 3
    for created, published, received, began, applied, oldest, consumer in rows:
        assert isinstance(published, datetime)
        # The relay marks an event a moment after the broker has it, perhaps after its delivery.
        assert created < received < published + timedelta(seconds=5)
        assert received <= began < applied
        assert oldest <= created
        assert consumer == QUEUE


async def test_a_batch_is_one_row_that_begins_with_its_oldest_event(world: World) -> None:
    batch = [event for name in "abc" for event in events(2, name)]
    await Inbox(QUEUE, {"order.happened": record}, world.work).handle(batch)
    [(ids, oldest, waited)] = await world.rows(
        "SELECT event_ids, oldest_at, waited FROM inbox_applied"
    )
    assert set(ids) == {event.id for event in batch}
    assert (ids[0], oldest) == (batch[0].id, batch[0].time)
    assert waited == [None] * 6, "they did not come from a queue"


async def test_an_event_of_an_unknown_time_hides_no_other_one(world: World) -> None:
    unknown, known = replace(events(1, "a")[0], time=UNKNOWN_TIME), events(1, "b")[0]
    await Inbox(QUEUE, {"order.happened": record}, world.work).handle([unknown, known])
    [(ids, oldest)] = await world.rows("SELECT event_ids, oldest_at FROM inbox_applied")
    assert (ids, oldest) == ([known.id, unknown.id], known.time)


async def test_a_duplicate_changes_no_times(world: World) -> None:
    inbox = Inbox(QUEUE, {"order.happened": record}, world.work)
    batch = events(2)
    await inbox.handle(batch)
    before = await world.rows(TIMES)
    await inbox.handle([*batch, *events(1, "b")])
    after = await world.rows(TIMES)
    assert set(before) < set(after)
    assert len(after) == 3


async def test_a_consumer_that_dies_before_the_ack_stores_times_once(world: World) -> None:
    async with world.broker():
        pass
    await publish(world, *events(4))
    killed = await start(world, APP_ENV="test", OUTBOX_FAILPOINT="consumer.committed")
    async with asyncio.timeout(60):
        assert await killed.wait() == -signal.SIGKILL
    before = await stored(world)
    async with running(world.consumer(record)):
        await publish(world, *events(1, "b"))
        await eventually(lambda: has_effects(world, 5))
    after = await stored(world)
    assert before
    assert len(after) == len(set(after)) == 5
    assert set(before) < set(after)


async def test_an_event_that_was_parked_keeps_its_failed_attempts(world: World) -> None:
    # The first one fails a batch; the event is then handled alone, and that attempt counts.
    failures = [ValueError("no such meal"), KeyError("table"), KeyError("table")]

    async def fails_twice(unit: UnitOfWork, event: Envelope) -> None:
        if event.sequence == 1 and failures:
            raise failures.pop()
        await record(unit, event)

    async with running(world.consumer(fails_twice)):
        await publish(world, *events(2))
        await eventually(lambda: has_effects(world, 2))
    rows = await world.rows(
        "SELECT failed_with, last_error, cardinality(failed_at), parked_at < failed_at[1],"
        "       failed_at[2] < began_at, began_at < applied_at, waited, cardinality(event_ids)"
        "  FROM inbox_applied WHERE parked_at IS NOT NULL ORDER BY cardinality(failed_at) DESC"
    )
    [failed, behind] = rows
    assert failed == (
        ["KeyError", "ValueError"], "ValueError: no such meal", 2, True, True, True, None, 1
    )  # fmt: skip
    assert behind[:3] == ([], None, 0)
    assert len(await stored(world)) == 2


async def test_what_is_rolled_back_or_parked_has_no_times(world: World) -> None:
    async def fails(unit: UnitOfWork, event: Envelope) -> None:
        await record(unit, event)
        raise ValueError

    await Inbox(QUEUE, {"order.happened": fails}, world.work).handle(events(2))
    assert await stored(world) == []


async def test_events_take_effect_without_a_partition_for_their_times(world: World) -> None:
    await world.execute(f"DROP TABLE {INBOX_APPLIED.name_of(today())}")
    await Inbox(QUEUE, {"order.happened": record}, world.work).handle(events(2))
    assert await effects(world) == {"a": [1, 2]}
    assert await stored(world) == []


async def test_times_are_dropped_after_their_retention(world: World) -> None:
    old = today() - timedelta(days=8)
    await world.execute(INBOX_APPLIED.add(old))
    async with running(Maintenance(world.engine, INBOX_APPLIED)):
        await eventually(lambda: is_gone(world, INBOX_APPLIED.name_of(old)))
    assert await exists(world, INBOX_APPLIED.name_of(today()))


async def is_gone(world: World, name: str) -> bool:
    return not await exists(world, name)

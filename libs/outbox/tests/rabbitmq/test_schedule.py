"""Scheduled events: on time, once, in order, and cancelled by key."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox.log.relay_queries import MOVE


def in_seconds(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def test_a_scheduled_event_is_published_when_it_is_due(world: World) -> None:
    async with running(world.relay()):
        await world.emit(Happened("a"))
        await world.delivered(1)
        began = time.monotonic()
        async with world.work.begin() as unit:
            await unit.schedule(Happened("a", 7), key="later", at=in_seconds(0.5))
        [message] = await world.delivered(1)
        assert time.monotonic() - began >= 0.45
    assert message.headers["sequence"] == 2
    assert message.body == b'{"number": 7}'


async def test_a_cancelled_or_replaced_schedule_is_not_published(world: World) -> None:
    async with world.work.begin() as unit:
        await unit.schedule(Happened("a", 1), key="a", at=in_seconds(0.1))
        await unit.schedule(Happened("b", 1), key="b", at=in_seconds(0.1))
        await unit.schedule(Happened("b", 2), key="b", at=in_seconds(0.2))
        assert await unit.unschedule("a")
        assert not await unit.unschedule("unknown")
    async with running(world.relay()):
        [message] = await world.delivered(1)
        await eventually(lambda: world.has_unpublished(0))
    assert message.body == b'{"number": 2}'
    assert await world.rows("SELECT count(*) FROM outbox") == [(1,)]


async def test_due_events_are_moved_once_by_any_number_of_relays(world: World) -> None:
    async with world.work.begin() as unit:
        for number in range(200):
            event = Happened(f"a{number % 10}", number)
            await unit.schedule(event, key=f"k{number:03}", at=in_seconds(number / 1000))
    async with running(world.relay(window=7), world.relay(window=7)):
        messages = await world.delivered(200)
        await eventually(lambda: world.has_unpublished(0))
    assert sorted(int(str(m.body)[13:-2]) for m in messages) == list(range(200))
    rows = await world.rows(
        "SELECT aggregate_id, array_agg(sequence ORDER BY id) FROM outbox GROUP BY aggregate_id"
    )
    assert [sequences for _, sequences in rows] == [list(range(1, 21))] * 10


async def test_a_schedule_survives_a_restart_of_the_relay(world: World) -> None:
    async with world.work.begin() as unit:
        await unit.schedule(Happened("a"), key="a", at=in_seconds(0.3))
    async with running(world.relay()):
        pass
    async with running(world.relay()):
        await world.delivered(1)


async def test_an_open_transaction_delays_only_the_events_of_its_own_aggregate(
    world: World,
) -> None:
    await world.emit(Happened("a"))
    async with running(world.relay()):
        await world.delivered(1)
        async with world.work.begin() as slow:
            await slow.connection
            await slow.emit(Happened("a"))
            async with world.work.begin() as unit:
                await unit.schedule(Happened("a", 1), key="a", at=in_seconds(0))
                await unit.schedule(Happened("b", 2), key="b", at=in_seconds(0))
            [message] = await world.delivered(1)
            assert message.body == b'{"number": 2}'
        assert len(await world.delivered(2)) == 2


async def test_due_events_are_found_by_the_index_however_many_are_scheduled(world: World) -> None:
    await world.execute(
        "INSERT INTO outbox_scheduled (source, key, due_at, event_id, bucket, aggregate_type,"
        " aggregate_id, type, version, payload, correlation_id)"
        " SELECT 'shop', 'k' || n, now() + n * interval '1 h', gen_random_uuid(), 0, 'order',"
        " 'a' || n, 'order.happened', 1, '1', 'c' FROM generate_series(1, 50000) n"
    )
    await world.execute(
        "INSERT INTO outbox_streams SELECT source, aggregate_type, aggregate_id, 1"
        " FROM outbox_scheduled"
    )
    await world.execute("ANALYZE outbox_scheduled, outbox_streams")
    async with await world.psycopg() as connection:
        cursor = await connection.execute("EXPLAIN " + MOVE, {"limit": 500})
        plan = "\n".join(str(line) for (line,) in await cursor.fetchall())
    assert plan.count("Index Cond: ((due_at >=") == 2, plan
    assert "Seq Scan on outbox_scheduled" not in plan, plan

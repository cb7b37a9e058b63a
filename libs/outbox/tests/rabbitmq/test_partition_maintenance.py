"""Partitions come and go without anybody waiting, and never with what is still needed."""

from __future__ import annotations

import asyncio
import logging
from datetime import date, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from kit.outbox.day_partitions import (
    exists,
    gone,
    names,
    old_partition,
    said,
    set_aside,
    today,
)
from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox import DayPartitions, Maintenance
from outbox.postgres import day_partitions
from outbox.postgres.day_partitions import OUTBOX


async def test_days_are_made_ahead_and_counted(world: World) -> None:
    async with world.engine.connect() as connection:
        assert await OUTBOX.days_ahead(connection) == OUTBOX.ahead
    await world.execute(f"DROP TABLE {OUTBOX.name_of(today() + timedelta(days=2))}")
    async with world.engine.connect() as connection:
        assert await OUTBOX.days_ahead(connection) == 1
    await OUTBOX.ensure_ahead(world.engine)
    async with world.engine.connect() as connection:
        assert await OUTBOX.days_ahead(connection) == OUTBOX.ahead


async def test_a_log_without_a_partition_for_today_is_prepared_beside_a_busy_worker(
    world: World,
) -> None:
    for days in range(-1, OUTBOX.ahead + 1):
        await world.execute(f"DROP TABLE {OUTBOX.name_of(today() + timedelta(days=days))}")
    maintenance = Maintenance(world.engine)
    async with await world.psycopg() as busy:
        await busy.execute("SELECT pg_advisory_lock(%s)", [OUTBOX.lock])
        assert not await maintenance.prepare(within=0)
        waiting = asyncio.create_task(maintenance.prepare(within=30))
        await busy.execute("SELECT pg_advisory_unlock(%s)", [OUTBOX.lock])
        assert await waiting
    await world.emit(Happened("a"))
    async with world.engine.connect() as connection:
        assert await OUTBOX.days_ahead(connection) == OUTBOX.ahead


async def test_who_may_not_make_partitions_finds_those_that_a_worker_made(world: World) -> None:
    role = f"reader_{uuid4().hex[:12]}"
    await world.execute(f"CREATE ROLE {role}")
    await world.execute(f"DROP TABLE {OUTBOX.name_of(today() + timedelta(days=2))}")
    lowly = create_async_engine(world.engine.url, connect_args={"options": f"-c role={role}"})
    try:
        assert await Maintenance(lowly).prepare(within=0)
        await world.execute(f"DROP TABLE {OUTBOX.name_of(today())}")
        assert not await Maintenance(lowly).prepare(within=0)
    finally:
        await lowly.dispose()
        await world.execute(f"DROP ROLE {role}")


async def test_a_partition_past_the_retention_is_dropped_and_the_younger_ones_stay(
    world: World,
) -> None:
    old, before = await old_partition(world), await names(world)
    assert old in await OUTBOX.drop_expired(world.engine)
    after = await names(world)
    assert before - after == {n for n in before if str(n) < OUTBOX.name_of(today() - timedelta(7))}
    assert OUTBOX.name_of(today()) in after


@pytest.mark.parametrize("apart", [30, -30])
async def test_days_are_made_and_dropped_by_the_databases_day_whatever_the_workers_clock_says(
    world: World, monkeypatch: pytest.MonkeyPatch, apart: int
) -> None:
    monkeypatch.setattr(day_partitions, "_TODAY", f"{day_partitions._TODAY} + {apart}")
    before, theirs = await names(world), today() + timedelta(days=apart)
    made = {OUTBOX.name_of(theirs + timedelta(days=n)) for n in range(-1, OUTBOX.ahead + 1)}
    oldest_kept = OUTBOX.name_of(theirs - timedelta(days=OUTBOX.keep))
    await OUTBOX.ensure_ahead(world.engine)
    dropped = await OUTBOX.drop_expired(world.engine)
    assert set(dropped) == {name for name in before if str(name) < oldest_kept}
    assert await names(world) == (before | made) - set(dropped)


async def test_a_partition_with_an_unpublished_event_stays_however_old(world: World) -> None:
    old = await old_partition(world, published=False)
    assert old not in await OUTBOX.drop_expired(world.engine)
    assert old in await names(world)
    async with running(world.relay()):
        await eventually(lambda: world.has_unpublished(0))
    assert old in await OUTBOX.drop_expired(world.engine)


async def test_a_detached_partition_of_which_a_row_is_needed_again_comes_back(world: World) -> None:
    old = await old_partition(world)
    await set_aside(world, old)
    await world.execute(f"UPDATE {old} SET published_at = NULL")
    assert old not in await OUTBOX.drop_expired(world.engine)
    async with running(world.relay()):
        await world.delivered(1)
    assert old in await OUTBOX.drop_expired(world.engine), "its mark was taken off and put on anew"


async def test_a_day_set_aside_comes_back_when_the_retention_has_grown(world: World) -> None:
    old = await old_partition(world)
    await set_aside(world, old)
    longer = DayPartitions("outbox", "created_at", keep=31)
    assert await longer.drop_expired(world.engine) == []
    assert old in await names(world)


async def test_a_partition_detached_by_a_process_that_died_is_dropped_by_the_next(
    world: World,
) -> None:
    old = await old_partition(world)
    await set_aside(world, old)
    assert old in await OUTBOX.drop_expired(world.engine)
    assert not await exists(world, old)


async def test_a_long_transaction_delays_the_dropping_and_blocks_no_other(world: World) -> None:
    old = await old_partition(world)
    maintenance = Maintenance(world.engine, interval=0.1)
    async with world.engine.connect() as reader:
        await reader.exec_driver_sql("SELECT count(*) FROM outbox")
        with pytest.raises(Exception, match=r"lock timeout|lock_timeout"):
            await OUTBOX.drop_expired(world.engine)
        await world.emit(Happened("b"))
        async with running(world.relay()):
            await world.delivered(1)
    async with running(maintenance):
        await eventually(lambda: gone(world, old))


class Broken(DayPartitions):
    """Loses its session while it works."""

    async def _set_aside(self, connection: AsyncConnection, oldest_kept: date) -> None:
        await connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


async def test_a_session_that_is_lost_in_mid_work_is_the_only_error(world: World) -> None:
    broken = Broken("outbox", "created_at")
    with pytest.raises(OperationalError) as raised:
        await broken.drop_expired(world.engine)
    assert raised.value.__context__ is raised.value.__cause__, "nothing failed while cleaning up"
    assert await OUTBOX.drop_expired(world.engine) == []


async def test_too_few_days_are_an_alarm(world: World, caplog: pytest.LogCaptureFixture) -> None:
    few = DayPartitions("outbox", "created_at", ahead=0)
    for day in range(1, OUTBOX.ahead + 1):
        await world.execute(f"DROP TABLE {OUTBOX.name_of(today() + timedelta(days=day))}")
    with caplog.at_level(logging.ERROR):
        async with running(Maintenance(world.engine, few)):
            await eventually(lambda: said(caplog, "has partitions for 0 days only"))


def test_a_name_tells_its_day() -> None:
    assert OUTBOX.day_of(OUTBOX.name_of(date(2026, 1, 31))) == date(2026, 1, 31)


async def test_maintenance_of_one_table_does_not_block_that_of_another(world: World) -> None:
    await world.execute("CREATE TABLE rides (at timestamptz NOT NULL) PARTITION BY RANGE (at)")
    rides = DayPartitions("rides", "at", ahead=2)
    async with await world.psycopg() as busy:
        await busy.execute("SELECT pg_advisory_lock(%s)", [OUTBOX.lock])
        await rides.ensure_ahead(world.engine)
    async with world.engine.connect() as connection:
        assert await rides.days_ahead(connection) == 2

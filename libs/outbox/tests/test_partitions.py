"""Partitions come and go without anybody waiting, and never with what is still needed."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, date, datetime, timedelta, tzinfo
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from outbox import DayPartitions, Maintenance
from outbox.operate import partitions
from outbox.operate.partitions import LOCK, OUTBOX
from outbox_world import Happened, World, eventually, running

LONG_AGO = timedelta(days=30)


class AMonthAhead(datetime):
    """The clock of a machine on which it is wrong."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> AMonthAhead:
        real = datetime.now(tz) + timedelta(days=30)
        return cls.fromtimestamp(real.timestamp(), tz)


def today() -> date:
    """The machine of the tests has the same clock as their database."""
    return datetime.now(UTC).date()


async def old_partition(world: World, *, published: bool = True) -> str:
    """A partition of thirty days ago, with one event in it."""
    day = today() - LONG_AGO
    for statement in DayPartitions("outbox", "created_at", ahead=0).add_statements(day):
        await world.execute(statement)
    await world.emit(Happened("a"))
    async with world.work.begin() as unit:
        await unit.connection.exec_driver_sql(
            "UPDATE outbox SET created_at = created_at - interval '30 days',"
            f" published_at = {'created_at' if published else 'NULL'}"
        )
    return OUTBOX.name_of(day)


async def names(world: World) -> set[object]:
    rows = await world.rows(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox'::regclass"
    )
    return {name for (name,) in rows}


async def exists(world: World, name: str) -> bool:
    [(oid,)] = await world.rows("SELECT to_regclass(%s)::text", name)
    return oid is not None


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
        await busy.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        assert not await maintenance.prepare(within=0)
        waiting = asyncio.create_task(maintenance.prepare(within=30))
        await busy.execute("SELECT pg_advisory_unlock(%s)", [LOCK])
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


async def test_a_worker_whose_clock_is_a_month_ahead_drops_no_day_of_today(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, old = await names(world), await old_partition(world)
    monkeypatch.setattr(partitions, "datetime", AMonthAhead, raising=False)
    async with running(Maintenance(world.engine, interval=0.1)):
        await eventually(lambda: gone(world, old), within=60)
    assert await names(world) == before
    await world.emit(Happened("b"))


async def test_a_default_partition_is_named_once_and_days_go_on_being_made(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    maintenance = Maintenance(world.engine, interval=0.1)
    await world.execute("CREATE TABLE outbox_default PARTITION OF outbox DEFAULT")
    async with running(maintenance):
        await eventually(lambda: said(caplog, "outbox_default is no day of outbox"), within=60)
        for day in (5, 9):
            await world.execute(f"DROP TABLE {OUTBOX.name_of(today() + timedelta(days=day))}")
            await eventually(lambda: has_days(world, OUTBOX.ahead), within=60)
        assert maintenance.running
    assert caplog.text.count("outbox_default") == 1


async def test_a_partition_over_several_days_keeps_no_other_day_from_being_made(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    first, end = today() + timedelta(days=5), today() + timedelta(days=8)
    for day in range(5, OUTBOX.ahead + 1):
        await world.execute(f"DROP TABLE {OUTBOX.name_of(today() + timedelta(days=day))}")
    await world.execute(
        "CREATE TABLE outbox_long PARTITION OF outbox"
        f" FOR VALUES FROM ('{first} 00:00+00') TO ('{end} 00:00+00')"
    )
    maintenance, last = Maintenance(world.engine), today() + timedelta(days=OUTBOX.ahead)
    async with running(maintenance):
        await eventually(lambda: said(caplog, "days of outbox are missing"), within=60)
        await eventually(lambda: exists(world, OUTBOX.name_of(last)), within=60)
        await eventually(lambda: is_running(maintenance), within=60)
    assert "lost its connection" not in caplog.text


async def is_running(part: Maintenance) -> bool:
    return part.running


async def has_days(world: World, count: int) -> bool:
    async with world.engine.connect() as connection:
        return await OUTBOX.days_ahead(connection) == count


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


async def set_aside(world: World, name: str) -> None:
    """As the maintenance does it, which then dies."""
    await world.execute(f"COMMENT ON TABLE {name} IS '{partitions.SET_ASIDE}'")
    await world.execute(f"ALTER TABLE outbox DETACH PARTITION {name}")


async def test_a_day_set_aside_comes_back_when_the_retention_has_grown(world: World) -> None:
    old = await old_partition(world)
    await set_aside(world, old)
    longer = DayPartitions("outbox", "created_at", keep=31)
    assert await longer.drop_expired(world.engine) == []
    assert old in await names(world)


async def test_what_a_person_detached_is_named_once_and_never_dropped(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    old = await old_partition(world)
    yesterday = OUTBOX.name_of(today() - timedelta(days=1))
    for name in (old, yesterday):
        await world.execute(f"ALTER TABLE outbox DETACH PARTITION {name}")
    maintenance = Maintenance(world.engine, interval=0.1)
    async with running(maintenance):
        for name in (old, yesterday):
            told = f"{name} was detached from outbox by hand"
            await eventually(lambda told=told: said(caplog, told), within=60)
    assert await OUTBOX.drop_expired(world.engine) == []
    assert await exists(world, old)
    assert await exists(world, yesterday)
    assert not {old, yesterday} & await names(world)
    assert caplog.text.count(yesterday) == 1


async def test_a_mark_left_on_an_attached_day_drops_nothing_that_a_person_detaches_later(
    world: World,
) -> None:
    old = await old_partition(world, published=False)
    await world.execute(f"COMMENT ON TABLE {old} IS '{partitions.SET_ASIDE}'")
    await OUTBOX.drop_expired(world.engine)
    await world.execute(f"ALTER TABLE outbox DETACH PARTITION {old}")
    await world.execute(f"UPDATE {old} SET published_at = created_at")
    assert await OUTBOX.drop_expired(world.engine) == []
    assert await exists(world, old)


async def test_whoever_died_after_detaching_is_finished_by_the_next(world: World) -> None:
    old = await old_partition(world)
    await set_aside(world, old)
    assert old in await OUTBOX.drop_expired(world.engine)
    assert not await exists(world, old)


async def test_a_long_transaction_delays_the_dropping_and_blocks_nobody(world: World) -> None:
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


async def gone(world: World, name: str) -> bool:
    return not await exists(world, name)


async def test_too_few_days_are_an_alarm(world: World, caplog: pytest.LogCaptureFixture) -> None:
    few = DayPartitions("outbox", "created_at", ahead=0)
    for day in range(1, OUTBOX.ahead + 1):
        await world.execute(f"DROP TABLE {OUTBOX.name_of(today() + timedelta(days=day))}")
    with caplog.at_level(logging.ERROR):
        async with running(Maintenance(world.engine, few)):
            await eventually(lambda: said(caplog, "has partitions for 0 days only"))


async def said(caplog: pytest.LogCaptureFixture, what: str) -> bool:
    return what in caplog.text


def test_a_name_tells_its_day() -> None:
    assert OUTBOX.day_of(OUTBOX.name_of(date(2026, 1, 31))) == date(2026, 1, 31)


@pytest.mark.parametrize("name", ["outbox_default", "outbox_p20261399", "outbox_p2026110"])
def test_a_name_that_is_none_of_ours_has_no_day(name: str) -> None:
    assert OUTBOX.day_of(name) is None

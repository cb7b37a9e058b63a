"""Partitions that the maintenance did not make, or did not detach: left to whoever did."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest

from kit.outbox.day_partitions import exists, names, old_partition, said, today
from kit.outbox.world import Happened, World, running
from kit.waiting import eventually
from outbox import Maintenance
from outbox.postgres.day_partitions import OUTBOX, SET_ASIDE


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
    assert "tries again" not in caplog.text


async def is_running(part: Maintenance) -> bool:
    return part.running


async def has_days(world: World, count: int) -> bool:
    async with world.engine.connect() as connection:
        return await OUTBOX.days_ahead(connection) == count


async def test_a_log_whose_today_is_in_a_partition_over_several_days_can_be_written(
    world: World,
) -> None:
    for day in range(-1, OUTBOX.ahead + 1):
        await world.execute(f"DROP TABLE {OUTBOX.name_of(today() + timedelta(days=day))}")
    first, end = today() - timedelta(days=20), today() + timedelta(days=20)
    past = f"FROM ('{first} 00:00+00') TO ('{today() - timedelta(days=5)} 00:00+00')"
    await world.execute(f"CREATE TABLE outbox_past PARTITION OF outbox FOR VALUES {past}")
    async with world.engine.connect() as connection:
        assert not await OUTBOX.has_today(connection)
    await world.execute(
        "CREATE TABLE outbox_long PARTITION OF outbox FOR VALUES"
        f" FROM ('{today() - timedelta(days=5)} 00:00+00') TO ('{end} 00:00+00')"
    )
    assert await Maintenance(world.engine).prepare(within=0)
    await world.emit(Happened("a"))


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
            await eventually(
                partial(said, caplog, f"{name} was detached from outbox by hand"), within=60
            )
    assert await OUTBOX.drop_expired(world.engine) == []
    assert await exists(world, old)
    assert await exists(world, yesterday)
    assert not {old, yesterday} & await names(world)
    assert caplog.text.count(yesterday) == 1


async def test_a_mark_left_on_an_attached_day_drops_nothing_that_a_person_detaches_later(
    world: World,
) -> None:
    old = await old_partition(world, published=False)
    await world.execute(f"COMMENT ON TABLE {old} IS '{SET_ASIDE}'")
    await OUTBOX.drop_expired(world.engine)
    await world.execute(f"ALTER TABLE outbox DETACH PARTITION {old}")
    await world.execute(f"UPDATE {old} SET published_at = created_at")
    assert await OUTBOX.drop_expired(world.engine) == []
    assert await exists(world, old)


@pytest.mark.parametrize("name", ["outbox_default", "outbox_p20261399", "outbox_p2026110"])
def test_a_name_that_is_none_of_ours_has_no_day(name: str) -> None:
    assert OUTBOX.day_of(name) is None

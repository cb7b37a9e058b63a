"""The log's partitions, as a test finds and makes them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from kit.outbox.world import Happened, World
from outbox.postgres.day_partitions import OUTBOX, SET_ASIDE

LONG_AGO = timedelta(days=30)


def today() -> date:
    """The machine of the tests has the same clock as their database."""
    return datetime.now(UTC).date()


async def old_partition(world: World, *, published: bool = True) -> str:
    """A partition of thirty days ago, with one event in it."""
    day = today() - LONG_AGO
    await world.execute(OUTBOX.add(day))
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


async def set_aside(world: World, name: str) -> None:
    """As the maintenance does it, which then dies."""
    await world.execute(f"COMMENT ON TABLE {name} IS '{SET_ASIDE}'")
    await world.execute(f"ALTER TABLE outbox DETACH PARTITION {name}")


async def gone(world: World, name: str) -> bool:
    return not await exists(world, name)


async def said(caplog: pytest.LogCaptureFixture, what: str) -> bool:
    return what in caplog.text

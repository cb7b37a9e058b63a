"""Rentals come and go by days: a read touches one, and no day goes while a rental in it is open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.dialects import postgresql

from kit.services.service import Service
from outbox import Maintenance
from outbox.postgres import day_partitions
from service_orders.domains.rentals import repository
from service_orders.domains.rentals.housekeeping import days_of_rentals
from service_orders.domains.rentals.models import started_at

RETENTION = 30
DAYS = days_of_rentals(RETENTION)


def id_at(moment: datetime, number: int = 0) -> UUID:
    """A UUIDv7 of that time (RFC 9562, section 5.7)."""
    milliseconds = int(moment.timestamp() * 1000)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62 | number)


async def insert(service: Service, rental_id: UUID, status: str) -> None:
    async with service.work.engine.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO rentals (id, started_at, offer_id, user_id, scooter_id, zone_id,"
                " price_per_minute, price_unlock, deposit, free_ride_seconds, status,"
                " payment_status, history) VALUES (:id, :at, gen_random_uuid(), 'u', 's', 'z',"
                " 1, 1, 1, 5, :status, 'HOLDING', '[]')"
            ),
            {"id": rental_id, "at": started_at(rental_id), "status": status},
        )


async def make_day(service: Service, moment: datetime) -> str:
    async with service.work.engine.begin() as connection:
        await connection.execute(text(DAYS.add(moment.date())))
    return DAYS.name_of(moment.date())


async def days(service: Service) -> set[str]:
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'rentals'::regclass"
    async with service.work.engine.connect() as connection:
        return set((await connection.execute(text(query))).scalars())


@contextmanager
def days_on(monkeypatch: pytest.MonkeyPatch, count: int) -> Iterator[None]:
    """The database's clock says a later day to whoever looks after partitions."""
    with monkeypatch.context() as patch:
        later = f"SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date + {count}"
        patch.setattr(day_partitions, "_TODAY", later)
        yield


async def test_there_are_days_for_a_week_from_the_start(service: Service) -> None:
    async with service.work.engine.connect() as connection:
        assert await DAYS.days_ahead(connection) == 7


async def test_a_week_on_there_are_days_for_another_week(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    with days_on(monkeypatch, 7):
        assert await Maintenance(service.work.engine, DAYS).prepare()
        async with service.work.engine.connect() as connection:
            assert await DAYS.days_ahead(connection) == 7
    assert DAYS.name_of((datetime.now(UTC) + timedelta(days=14)).date()) in await days(service)


async def test_an_old_day_goes_only_when_every_rental_in_it_has_ended(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = datetime.now(UTC)
    over, riding = now - timedelta(days=3), now - timedelta(days=2)
    names = [await make_day(service, over), await make_day(service, riding)]
    for number, status in enumerate(("FINISHED", "PAYMENT_FAILED", "CANCELLED")):
        await insert(service, id_at(over, number), status)
        await insert(service, id_at(riding, number), status)
    await insert(service, id_at(riding, 9), "FINISHING")
    assert await DAYS.drop_expired(service.work.engine) == []
    with days_on(monkeypatch, RETENTION - 1):
        assert await DAYS.drop_expired(service.work.engine) == names[:1]
    async with service.work.engine.begin() as connection:
        await connection.execute(text("UPDATE rentals SET status = 'FINISHED'"))
    with days_on(monkeypatch, RETENTION - 1):
        assert names[1] in await DAYS.drop_expired(service.work.engine)
    assert not await days(service) & set(names)


async def test_a_read_by_id_touches_one_partition(service: Service) -> None:
    """By the plan that serves every id (PostgreSQL, "PREPARE"), not one made for this."""
    rental_id = id_at(datetime.now(UTC))
    await insert(service, rental_id, "ACTIVE")
    found = await repository.find_all(service.work, [rental_id])
    assert list(found) == [rental_id]
    name = DAYS.name_of(datetime.now(UTC).date())
    at = started_at(rental_id)
    plan = "\n".join(await explained(service, {"ids": [rental_id], "first": at, "last": at}))
    assert plan.count(" on rentals_p") == 1, plan
    assert f" on {name} " in plan
    assert f"Subplans Removed: {len(await days(service)) - 1}" in plan


async def explained(service: Service, parameters: dict[str, Any]) -> list[str]:
    dialect = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
    compiled = repository.SOME.compile(dialect=dialect)
    order = compiled.positiontup
    assert order is not None
    kinds = {"ids": "uuid[]", "first": "timestamptz", "last": "timestamptz"}
    declared = ", ".join(kinds[name] for name in order)
    values = ", ".join(_literal(parameters[name]) for name in order)
    async with service.work.engine.connect() as connection:
        await connection.execute(text("SET plan_cache_mode = force_generic_plan"))
        await connection.exec_driver_sql(f"PREPARE one ({declared}) AS {compiled}")
        rows = await connection.exec_driver_sql(
            f"EXPLAIN (ANALYZE, COSTS OFF) EXECUTE one ({values})"
        )
        return list(rows.scalars())


def _literal(value: object) -> str:
    if isinstance(value, list):
        return "ARRAY[" + ", ".join(f"'{one}'::uuid" for one in value) + "]"
    return f"'{value}'"


async def test_a_crowd_of_readers_of_hot_rentals_asks_the_database_a_fifth_as_often(
    service: Service,
) -> None:
    """32 readers of 8 rentals; whoever asks while a statement runs joins the next one."""
    ids = [id_at(datetime.now(UTC), number) for number in range(8)]
    for rental_id in ids:
        await insert(service, rental_id, "ACTIVE")
    statements = 0

    def count(*_: object) -> None:
        nonlocal statements
        statements += 1

    async def read(number: int) -> None:
        for turn in range(20):
            path = f"/api/v1/rentals/{ids[(number + turn) % len(ids)]}"
            assert (await service.http.get(path)).status_code == 200

    event.listen(service.work.engine.sync_engine, "before_cursor_execute", count)
    await asyncio.gather(*(read(number) for number in range(32)))
    assert statements * 5 < 32 * 20, f"{32 * 20} reads, {statements} statements"

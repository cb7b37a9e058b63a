"""The statements of restaurants, tables and reservations.

Each write is one statement with its event, hence one round trip. The migration of these tables
defines the SQL functions: they lock the restaurant, check, and raise what `refusal` reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import TSTZRANGE, Range
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Select

from outbox import Event, UnitOfWork
from service_processor.domains.restaurants.errors import (
    Obstructed,
    ReservationNotFound,
    RestaurantNotFound,
    TableNotFound,
)
from service_processor.domains.restaurants.models import Reservation
from service_processor.seating.models import (
    DiningTable,
    Restaurant,
    allocations,
    restaurants,
    tables,
)
from servicekit.database.tables import fields_of
from servicekit.http.pagination import Keyset, PageRequest
from servicekit.service.rows import Rows

RESTAURANTS = Rows[int, Restaurant](
    restaurants,
    Restaurant,
    RestaurantNotFound,
    newest_first=Keyset(restaurants.c.created_at, restaurants.c.id),
)
TABLES = Rows[int, DiningTable](
    tables,
    DiningTable,
    TableNotFound,
    newest_first=Keyset(tables.c.created_at, tables.c.id),
)
RESERVATIONS = Keyset(allocations.c.created_at, allocations.c.id)

_ADD_RESTAURANT = f"added AS ({RESTAURANTS.insert})"
_ADD_TABLE = f"added AS ({TABLES.insert})"
# The row exists (its restaurant is known), so PostgreSQL calls the function, which may raise.
_DELETE_TABLE = """
deleted AS (
  UPDATE tables SET deleted_at = %(at)s
   WHERE id = %(id)s AND unused_table(%(id)s, %(at)s::timestamptz) IS NOT NULL
)"""
_RESERVE = """
reserved AS (
  INSERT INTO allocations (id, table_id, period, customer_name, created_at)
  VALUES (%(id)s, usable_table(%(table_id)s), tstzrange(%(begin)s, %(end)s), %(customer_name)s,
          %(created_at)s)
)"""
_DELETE_RESERVATION = """
given_back AS (
  INSERT INTO releases (allocation_id, table_id, period, booking_id, released_at)
  SELECT id, table_id, period, booking_id, %(at)s FROM given_back_reservation(%(id)s)
)"""

_RESERVATION = (
    select(
        allocations.c.id,
        allocations.c.table_id,
        allocations.c.customer_name,
        allocations.c.period,
        restaurants.c.timezone,
        allocations.c.created_at,
    )
    .join_from(allocations, tables)
    .join(restaurants)
    .where(allocations.c.booking_id.is_(None))
)


async def add_restaurant(unit: UnitOfWork, restaurant: Restaurant, event: Event) -> None:
    await unit.write(_ADD_RESTAURANT, RESTAURANTS.values(restaurant), event)


async def add_table(unit: UnitOfWork, table: DiningTable, event: Event) -> None:
    await unit.write(_ADD_TABLE, TABLES.values(table), event)


async def delete_table(unit: UnitOfWork, table_id: int, at: datetime, event: Event) -> None:
    """Refused with `TableNotFound`, or `Obstructed` while somebody holds it at or after `at`."""
    await unit.write(_DELETE_TABLE, {"id": table_id, "at": at}, event)


async def reserve(unit: UnitOfWork, reservation: Reservation, event: Event) -> None:
    """Refused with `TableNotFound`, or `Obstructed` if somebody holds the table in the period."""
    await unit.write(_RESERVE, fields_of(reservation), event)


async def delete_reservation(
    unit: UnitOfWork, reservation_id: int, at: datetime, event: Event
) -> None:
    """Refused with `ReservationNotFound`."""
    await unit.write(_DELETE_RESERVATION, {"id": reservation_id, "at": at}, event)


@contextmanager
def refusal(id_: int) -> Iterator[None]:
    """Around a unit of work: raise what its statements were refused with, at the latest commit."""
    try:
        yield
    except DBAPIError as problem:
        match getattr(problem.orig, "sqlstate", None):
            case "TB404":  # see decision 0604
                raise TableNotFound(id_) from None
            case "RS404":
                raise ReservationNotFound(id_) from None
            case "TB409" | "23P01":  # exclusion_violation
                raise Obstructed from None
            case _:
                raise


async def obstacle(
    connection: AsyncConnection, table_id: int, begin: datetime, end: datetime | None
) -> Range[datetime] | None:
    """The first allocated period between two moments, or after `begin` if `end` is None."""
    wanted = func.tstzrange(begin, end, type_=TSTZRANGE())
    found = await connection.execute(
        select(allocations.c.period)
        .where(allocations.c.table_id == table_id, allocations.c.period.overlaps(wanted))
        .order_by(func.lower(allocations.c.period))
        .limit(1)
    )
    return found.scalar_one_or_none()


async def reservation(connection: AsyncConnection, reservation_id: int) -> Reservation | None:
    found = await connection.execute(_RESERVATION.where(allocations.c.id == reservation_id))
    row = found.one_or_none()
    return None if row is None else _reservation(row)


async def tables_of(
    connection: AsyncConnection, restaurant_id: int | None, page: PageRequest
) -> Sequence[DiningTable]:
    """A page of tables, optionally of one restaurant, without deleted tables."""
    return await TABLES.fetch(
        connection, TABLES.newest_first.select(table_list(restaurant_id), page)
    )


def table_list(restaurant_id: int | None) -> Select[Any]:
    return TABLES.filtered(restaurant_id=restaurant_id).where(tables.c.deleted_at.is_(None))


async def reservations_of(
    connection: AsyncConnection, table_id: int | None, page: PageRequest
) -> Sequence[Reservation]:
    """A page of reservations, optionally of one table; deleted tables keep theirs."""
    wanted = _RESERVATION
    if table_id is not None:
        wanted = wanted.where(allocations.c.table_id == table_id)
    rows = await connection.execute(RESERVATIONS.select(wanted, page))
    return [_reservation(row) for row in rows]


def _reservation(row: Any) -> Reservation:
    return Reservation(
        row.id,
        row.table_id,
        row.customer_name,
        row.period.lower,
        row.period.upper,
        ZoneInfo(row.timezone),
        row.created_at,
    )

"""The statements of bookings; each is built here and run in the caller's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ARRAY, BigInteger, any_, bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql import Select

from outbox import Event, SingleWrite, UnitOfWork, Work
from service_orders.domains.bookings.models import (
    Booking,
    HistoryEntry,
    booking_history,
    bookings,
)
from service_orders.domains.bookings.states import BookingStatus
from servicekit.http.pagination import Keyset, PageRequest

NEWEST_FIRST = Keyset(bookings.c.created_at, bookings.c.id)

_BOOKING = select(*(bookings.c[field] for field in Booking.__slots__))

# The booking, the beginning of its history and its event are one statement, hence one round trip.
_ASKED = """
asked AS (
  INSERT INTO bookings (id, restaurant_id, timezone, starts_at, duration_minutes, guests_count,
                        status, created_at, updated_at)
  VALUES (%(id)s, %(restaurant_id)s, %(timezone)s, %(starts_at)s, %(duration_minutes)s,
          %(guests_count)s, %(status)s, %(created_at)s, %(created_at)s)
), history AS (
  INSERT INTO booking_history (booking_id, number, status, at)
  VALUES (%(id)s, 1, %(status)s, %(created_at)s)
)"""

_APPEND = insert(booking_history).from_select(
    ["booking_id", "number", *HistoryEntry.__slots__],
    select(
        bindparam("booking_id", type_=bookings.c.id.type),
        select(func.coalesce(func.max(booking_history.c.number), 0) + 1)
        .where(booking_history.c.booking_id == bindparam("booking_id", type_=bookings.c.id.type))
        .scalar_subquery(),
        *(
            bindparam(field, type_=booking_history.c[field].type)
            for field in HistoryEntry.__slots__
        ),
    ),
)


async def ask(unit: UnitOfWork | SingleWrite, booking: Booking, event: Event) -> None:
    """Insert a new booking with the first entry of its history, and emit its event."""
    row = {field: getattr(booking, field) for field in Booking.__slots__}
    await unit.write(_ASKED, {**row, "status": booking.status.value}, event)


async def find(connection: AsyncConnection, booking_id: int) -> Booking | None:
    """A booking as it is now."""
    row = (await connection.execute(_BOOKING.where(bookings.c.id == booking_id))).one_or_none()
    return None if row is None else _booking(row)


async def find_all(work: Work, booking_ids: Sequence[int]) -> dict[int, Booking]:
    """These bookings as they are now, as far as they exist; in one round trip."""
    found = _BOOKING.where(bookings.c.id == any_(bindparam("ids", type_=ARRAY(BigInteger))))
    async with work.read() as connection:
        rows = await connection.execute(found, {"ids": list(booking_ids)})
        return {row.id: _booking(row) for row in rows}


async def locked(connection: AsyncConnection, booking_id: int) -> Booking | None:
    """A booking that nobody else changes until this transaction ends."""
    wanted = _BOOKING.where(bookings.c.id == booking_id).with_for_update()
    row = (await connection.execute(wanted)).one_or_none()
    return None if row is None else _booking(row)


def newest(*, restaurant_id: int | None, status: BookingStatus | None) -> Select[Any]:
    """Bookings, narrowed down; served by one of the indexes bookings_by_…."""
    found = _BOOKING
    if restaurant_id is not None:
        found = found.where(bookings.c.restaurant_id == restaurant_id)
    if status is not None:
        found = found.where(bookings.c.status == status.value)
    return found


async def page_of(
    connection: AsyncConnection, found: Select[Any], page: PageRequest
) -> list[Booking]:
    """The bookings of a page, and one more if there is a next."""
    rows = await connection.execute(NEWEST_FIRST.select(found, page))
    return [_booking(row) for row in rows]


async def history_of(connection: AsyncConnection, booking_id: int) -> list[HistoryEntry]:
    """Every status a booking has had, oldest first."""
    found = await connection.execute(
        select(*(booking_history.c[field] for field in HistoryEntry.__slots__))
        .where(booking_history.c.booking_id == booking_id)
        .order_by(booking_history.c.number)
    )
    return [HistoryEntry(*row) for row in found]


async def add_history(connection: AsyncConnection, booking_id: int, entry: HistoryEntry) -> None:
    """Append to the history of a booking that is locked."""
    row = {field: getattr(entry, field) for field in HistoryEntry.__slots__}
    await connection.execute(_APPEND, {"booking_id": booking_id, **row})


async def set_status(
    connection: AsyncConnection,
    booking_id: int,
    status: BookingStatus,
    *,
    reason: str | None,
    table_id: int | None,
    at: datetime,
) -> None:
    """Move a booking that is locked."""
    await connection.execute(
        update(bookings)
        .where(bookings.c.id == booking_id)
        .values(status=status.value, reason=reason, table_id=table_id, updated_at=at)
    )


def _booking(row: Any) -> Booking:
    return Booking(**{**row._mapping, "status": BookingStatus(row.status)})

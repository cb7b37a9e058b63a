"""What can be done with bookings. The caller began the transaction, and commits it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from contracts import BookingCancelled, BookingCreated
from outbox import SingleWrite, UnitOfWork
from service_orders.domains.bookings import repository, states
from service_orders.domains.bookings.errors import BookingNotFound, RestaurantNotFound
from service_orders.domains.bookings.models import Booking, HistoryEntry
from service_orders.domains.bookings.schemas import Book
from service_orders.domains.bookings.states import BookingStatus
from service_orders.waiting import SETTLED
from servicekit.http.local_time import TimeRefused, period

TIME = "booking_datetime"


def key_of(booking_id: int) -> str:
    """What those who wait for a booking listen for."""
    return f"booking/{booking_id}"


async def ask(
    unit: UnitOfWork | SingleWrite,
    id_: int,
    wanted: Book,
    zone: ZoneInfo | None,
    *,
    furthest: timedelta,
) -> Booking:
    """Record a booking and have the processor look for a table.

    Raises `RestaurantNotFound` (which has no zone), or `TimeRefused`.
    """
    if zone is None:
        raise RestaurantNotFound(wanted.restaurant_id)
    now = datetime.now(UTC)
    begin, end = period(wanted.booking_datetime, zone, wanted.duration_minutes, now=now, field=TIME)
    if begin > now + furthest:
        raise TimeRefused(TIME, f"This time is more than {furthest.days} days ahead.")
    booking = Booking(
        id=id_,
        restaurant_id=wanted.restaurant_id,
        timezone=zone.key,
        starts_at=begin,
        duration_minutes=wanted.duration_minutes,
        guests_count=wanted.guests_count,
        status=BookingStatus.CREATED,
        reason=None,
        table_id=None,
        created_at=now,
        updated_at=now,
    )
    await repository.ask(unit, booking, _created(booking, end))
    return booking


async def get(connection: AsyncConnection, booking_id: int) -> Booking:
    """Raises `BookingNotFound`."""
    booking = await repository.find(connection, booking_id)
    if booking is None:
        raise BookingNotFound(booking_id)
    return booking


async def cancel(unit: UnitOfWork, booking_id: int) -> Booking:
    """Cancel a booking and have its table freed, held already or about to be.

    Raises `BookingNotFound` or `IllegalTransition`.
    """
    booking = await _locked(unit, booking_id)
    states.move(booking.status, BookingStatus.CANCELLED)
    now = datetime.now(UTC)
    await _move(unit, booking, BookingStatus.CANCELLED, at=now, table_id=booking.table_id)
    await unit.emit(BookingCancelled(booking_id=booking_id, cancelled_at=now))
    return await get(unit.connection, booking_id)


async def follow(
    unit: UnitOfWork,
    booking_id: int,
    target: BookingStatus,
    *,
    reason: str | None = None,
    table_id: int | None = None,
) -> None:
    """Go where an event leads; what comes too late is noted in the history and changes nothing."""
    booking, at = await _locked(unit, booking_id), datetime.now(UTC)
    if states.may_move(booking.status, target):
        await _move(unit, booking, target, at=at, reason=reason, table_id=table_id)
    else:
        ignored = f"ignored {target}: the booking was {booking.status} already"
        await _note(unit, booking_id, booking.status, reason=ignored, at=at)


async def _locked(unit: UnitOfWork, booking_id: int) -> Booking:
    booking = await repository.locked(unit.connection, booking_id)
    if booking is None:
        raise BookingNotFound(booking_id)
    return booking


async def _move(
    unit: UnitOfWork,
    booking: Booking,
    status: BookingStatus,
    *,
    at: datetime,
    reason: str | None = None,
    table_id: int | None = None,
) -> None:
    await repository.set_status(
        unit.connection, booking.id, status, reason=reason, table_id=table_id, at=at
    )
    await _note(unit, booking.id, status, reason=reason, at=at)
    if states.is_settled(status):
        unit.announce(SETTLED, key_of(booking.id))


async def _note(
    unit: UnitOfWork, booking_id: int, status: BookingStatus, *, reason: str | None, at: datetime
) -> None:
    cause = unit.cause.id if unit.cause else None
    entry = HistoryEntry(status.value, at, reason, cause)
    await repository.add_history(unit.connection, booking_id, entry)


def _created(booking: Booking, end: datetime) -> BookingCreated:
    return BookingCreated(
        booking_id=booking.id,
        restaurant_id=booking.restaurant_id,
        starts_at=booking.starts_at,
        ends_at=end,
        guests_count=booking.guests_count,
        created_at=booking.created_at,
    )

"""Use cases of bookings. The caller begins the transaction and commits it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from contracts.bookings import BookingCancelled, BookingCreated
from outbox import UnitOfWork
from service_orders.domains.bookings import repository
from service_orders.domains.bookings.errors import RestaurantNotFound
from service_orders.domains.bookings.models import Booking
from service_orders.domains.bookings.schemas import BookTable
from service_orders.domains.bookings.states import LIFECYCLE, BookingStatus
from service_orders.waiting import SETTLED
from servicekit.http.local_time import TimeRefused, period
from servicekit.service.batched_changes import BatchedChanges

TIME = "booking_datetime"

CHANGES = BatchedChanges(repository.BOOKINGS, LIFECYCLE, SETTLED)


async def ask(
    unit: UnitOfWork,
    id_: int,
    wanted: BookTable,
    zone: ZoneInfo | None,
    *,
    furthest: timedelta,
) -> Booking:
    """Store a booking and emit the event that asks the processor for a table.

    `zone` is None for an unknown restaurant. Raises `RestaurantNotFound` or `TimeRefused`.
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
    await repository.BOOKINGS.create(unit, booking, _created(booking, end))
    return booking


async def cancel(unit: UnitOfWork, booking_id: int) -> Booking:
    """Cancel a booking; the processor then releases its table, also one that it allocates later.

    Raises `BookingNotFound` or `IllegalTransition`.
    """
    booking = await CHANGES.move(unit, booking_id, BookingStatus.CANCELLED)
    at = booking.updated_at.astimezone(UTC)
    await unit.emit(BookingCancelled(booking_id=booking_id, cancelled_at=at))
    return booking


def _created(booking: Booking, end: datetime) -> BookingCreated:
    return BookingCreated(
        booking_id=booking.id,
        restaurant_id=booking.restaurant_id,
        starts_at=booking.starts_at,
        ends_at=end,
        guests_count=booking.guests_count,
        created_at=booking.created_at,
    )

"""The statements of bookings."""

from __future__ import annotations

from dataclasses import asdict

from outbox import Event, SingleWrite, UnitOfWork
from service_orders.domains.bookings.errors import BookingNotFound
from service_orders.domains.bookings.models import Booking, bookings
from servicekit.http.pagination import Keyset
from servicekit.service.rows import Rows

ROWS = Rows[int, Booking](
    bookings,
    Booking,
    BookingNotFound,
    newest_first=Keyset(bookings.c.created_at, bookings.c.id),
)

# A new booking, its history and its event are one statement, hence one round trip.
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


async def ask(unit: UnitOfWork | SingleWrite, booking: Booking, event: Event) -> None:
    """Insert a new booking with the first entry of its history, and emit its event."""
    await unit.write(_ASKED, {**asdict(booking), "status": booking.status.value}, event)

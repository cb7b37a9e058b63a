"""The statements of bookings."""

from __future__ import annotations

from outbox import Event, SingleWrite, UnitOfWork
from service_orders.domains.bookings.errors import BookingNotFound
from service_orders.domains.bookings.models import Booking, booking_history, bookings
from servicekit.http.pagination import Keyset
from servicekit.service.rows import Rows

ROWS = Rows[int, Booking](
    bookings,
    Booking,
    BookingNotFound,
    newest_first=Keyset(bookings.c.created_at, bookings.c.id),
)

# A new booking, its history and its event are one statement, hence one round trip.
_ASKED = f"asked AS ({ROWS.insert}), history AS ({booking_history.insert_first})"


async def ask(unit: UnitOfWork | SingleWrite, booking: Booking, event: Event) -> None:
    """Insert a new booking with the first entry of its history, and emit its event."""
    await unit.write(_ASKED, ROWS.values(booking), event)

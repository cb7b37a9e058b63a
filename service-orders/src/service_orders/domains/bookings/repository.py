"""The statements of bookings."""

from __future__ import annotations

from service_orders.domains.bookings.errors import BookingNotFound
from service_orders.domains.bookings.models import Booking, booking_history, bookings
from servicekit.http.pagination import Keyset
from servicekit.service.changes import RowsWithHistory
from servicekit.service.rows import Rows

ROWS = Rows[int, Booking](
    bookings,
    Booking,
    BookingNotFound,
    newest_first=Keyset(bookings.c.created_at, bookings.c.id),
)

BOOKINGS = RowsWithHistory(ROWS, booking_history)

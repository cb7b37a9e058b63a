"""The tables of bookings, declared by the dataclasses of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from sqlalchemy import CheckConstraint, Identity, Index, Integer, PrimaryKeyConstraint

from service_orders.domains.bookings.states import BookingStatus
from service_orders.metadata import metadata
from servicekit.database.tables import table_of
from servicekit.http.local_time import shown
from servicekit.service.history import History


@dataclass(frozen=True, slots=True)
class Booking:
    """Times are in UTC; `timezone` is the restaurant's."""

    id: Annotated[int, Identity()]
    # No foreign key: the copy of the restaurants may be rebuilt at any time.
    restaurant_id: int
    timezone: str
    starts_at: datetime
    duration_minutes: Annotated[int, Integer()]
    guests_count: Annotated[int, Integer()]
    status: BookingStatus
    reason: str | None
    table_id: int | None
    created_at: datetime
    updated_at: datetime

    @property
    def booking_datetime(self) -> str:
        """When it starts, with the restaurant's offset."""
        return shown(self.starts_at, ZoneInfo(self.timezone))


bookings = table_of(
    Booking,
    "bookings",
    metadata,
    PrimaryKeyConstraint("id"),
    CheckConstraint("guests_count > 0", name="guests"),
    CheckConstraint("duration_minutes > 0", name="duration"),
    # Each serves one filter of the list. Its order is age: processes draw ids in blocks.
    Index("bookings_by_age", "created_at", "id"),
    Index("bookings_by_restaurant", "restaurant_id", "created_at", "id"),
    Index("bookings_by_status", "status", "created_at", "id"),
    Index("bookings_by_restaurant_and_status", "restaurant_id", "status", "created_at", "id"),
)

booking_history = History("booking", bookings)

"""The tables of bookings, and the dataclass of a booking."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    Table,
    Text,
)

from service_orders.domains.bookings.states import BookingStatus
from service_orders.metadata import metadata
from servicekit.service.history import History

bookings = Table(
    "bookings",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    # No foreign key: the copy of the restaurants may be rebuilt at any time.
    Column("restaurant_id", BigInteger, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("starts_at", DateTime(True), nullable=False),
    Column("duration_minutes", Integer, nullable=False),
    Column("guests_count", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("table_id", BigInteger),
    Column("created_at", DateTime(True), nullable=False),
    Column("updated_at", DateTime(True), nullable=False),
    CheckConstraint("guests_count > 0", name="guests"),
    CheckConstraint("duration_minutes > 0", name="duration"),
    # Each serves one filter of the list. Its order is age: processes draw ids in blocks.
    Index("bookings_by_age", "created_at", "id"),
    Index("bookings_by_restaurant", "restaurant_id", "created_at", "id"),
    Index("bookings_by_status", "status", "created_at", "id"),
    Index("bookings_by_restaurant_and_status", "restaurant_id", "status", "created_at", "id"),
)

booking_history = History("booking", bookings)


@dataclass(frozen=True, slots=True)
class Booking:
    """Times are in UTC; `timezone` is the restaurant's."""

    id: int
    restaurant_id: int
    timezone: str
    starts_at: datetime
    duration_minutes: int
    guests_count: int
    status: BookingStatus
    reason: str | None
    table_id: int | None
    created_at: datetime
    updated_at: datetime

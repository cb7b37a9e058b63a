"""The tables of bookings, and a booking as it is read from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    Uuid,
)

from service_orders.domains.bookings.states import BookingStatus
from service_orders.metadata import metadata

bookings = Table(
    "bookings",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    # No foreign key: the copy of the restaurants may be built anew at any time.
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
    # Ids are drawn in blocks by each process, so that newest means latest created, not highest id.
    Index("bookings_by_age", "created_at", "id"),
    Index("bookings_by_restaurant", "restaurant_id", "created_at", "id"),
    Index("bookings_by_status", "status", "created_at", "id"),
    Index("bookings_by_restaurant_and_status", "restaurant_id", "status", "created_at", "id"),
)

booking_history = Table(
    "booking_history",
    metadata,
    Column("booking_id", ForeignKey("bookings.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("status", Text, nullable=False),
    Column("at", DateTime(True), nullable=False),
    Column("reason", Text),
    Column("caused_by", Uuid),
)


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


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A status that a booking has had, and the event that caused it, if one did."""

    status: str
    at: datetime
    reason: str | None
    caused_by: UUID | None

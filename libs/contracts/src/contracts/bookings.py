"""The events of bookings: one service asks, and the other one decides."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar, Literal

from contracts.base import SAMPLE_TIME, Contract
from contracts.exchanges import ORDERS, PROCESSOR

Rejection = Literal["no table big enough", "no table free"]


class _BookingEvent(Contract):
    aggregate_type: ClassVar[str] = "booking"

    booking_id: int

    @property
    def aggregate_id(self) -> str:
        return str(self.booking_id)


class BookingCreated(_BookingEvent):
    """A guest asked for a table. The period is half-open: it ends before `ends_at`."""

    type: ClassVar[str] = "booking.created"
    source: ClassVar[str] = "service-orders"

    restaurant_id: int
    starts_at: datetime
    ends_at: datetime
    guests_count: int
    created_at: datetime


class BookingCancelled(_BookingEvent):
    """The booking was cancelled; its table, if it has one, has to be released."""

    type: ClassVar[str] = "booking.cancelled"
    source: ClassVar[str] = "service-orders"

    cancelled_at: datetime


class BookingChecking(_BookingEvent):
    """The search for a table began."""

    type: ClassVar[str] = "booking.checking"
    source: ClassVar[str] = "service-processor"

    started_at: datetime


class BookingConfirmed(_BookingEvent):
    """A table is allocated to the booking."""

    type: ClassVar[str] = "booking.confirmed"
    source: ClassVar[str] = "service-processor"

    table_id: int
    confirmed_at: datetime


class BookingRejected(_BookingEvent):
    """There is no table for the booking, for one of two reasons."""

    type: ClassVar[str] = "booking.rejected"
    source: ClassVar[str] = "service-processor"

    reason: Rejection
    rejected_at: datetime


PROCESSOR_BOOKINGS = ORDERS.to("processor.bookings", "booking")
ORDERS_BOOKINGS = PROCESSOR.to("orders.bookings", "booking")

SAMPLES = (
    BookingCreated(
        booking_id=7,
        restaurant_id=1,
        starts_at=datetime(2026, 5, 1, 17, tzinfo=UTC),
        ends_at=datetime(2026, 5, 1, 19, tzinfo=UTC),
        guests_count=4,
        created_at=SAMPLE_TIME,
    ),
    BookingCancelled(booking_id=7, cancelled_at=SAMPLE_TIME),
    BookingChecking(booking_id=7, started_at=SAMPLE_TIME),
    BookingConfirmed(booking_id=7, table_id=3, confirmed_at=SAMPLE_TIME),
    BookingRejected(booking_id=7, reason="no table free", rejected_at=SAMPLE_TIME),
)

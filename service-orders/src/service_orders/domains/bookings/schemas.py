"""The bodies of requests and answers about bookings."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from service_orders.domains.bookings.states import BookingStatus
from servicekit.http.fields import Timestamp, Whole
from servicekit.http.local_time import LocalTime, ShownTime

MAX_GUESTS = 1000
SHORTEST, LONGEST, USUAL = 15, 24 * 60, 120  # minutes

# A year ahead: the example is still in the future after this process has run for months.
SOON = (datetime.now(UTC) + timedelta(days=365)).strftime("%Y-%m-01T19:00:00")


class BookTable(BaseModel):
    """A request for a table. A time without an offset is in the restaurant's time zone."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"restaurant_id": 1, "booking_datetime": SOON, "guests_count": 2}]
        }
    )

    restaurant_id: Annotated[int, Whole(1)]
    booking_datetime: LocalTime
    guests_count: Annotated[int, Whole(1, MAX_GUESTS)]
    duration_minutes: Annotated[int, Whole(SHORTEST, LONGEST)] = USUAL


class BookingView(BaseModel):
    """A booking and its status. `booking_datetime` has the restaurant's offset."""

    model_config = ConfigDict(from_attributes=True)

    id: int = Field(examples=[1])
    restaurant_id: int = Field(examples=[1])
    booking_datetime: ShownTime
    duration_minutes: int
    guests_count: int
    status: BookingStatus
    reason: str | None
    table_id: int | None = Field(
        description="The table, once confirmed; a later cancellation keeps it."
    )
    created_at: Timestamp
    updated_at: Timestamp

"""The decision about each booking, and the allocations that conflicted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from sqlalchemy import Integer, PrimaryKeyConstraint
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE, Range

from service_processor.metadata import metadata
from servicekit.database.tables import table_of


@dataclass(frozen=True, slots=True)
class BookingDecision:
    """How a booking was decided. `cancelled_at` is set if it was cancelled all the same."""

    booking_id: int
    restaurant_id: int
    period: Annotated[Range[datetime], TSTZRANGE()]
    guests_count: Annotated[int, Integer()]
    outcome: str
    reason: str | None
    table_id: int | None
    # For a rejection: one conflicting allocation for each table that is big enough.
    obstacles: Annotated[list[dict[str, Any]], JSONB()]
    decided_at: datetime
    cancelled_at: datetime | None = None


booking_decisions = table_of(
    BookingDecision, "booking_decisions", metadata, PrimaryKeyConstraint("booking_id")
)

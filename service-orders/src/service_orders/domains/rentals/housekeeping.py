"""Housekeeping of workers: the day partitions of rentals."""

from __future__ import annotations

from outbox import DayPartitions
from service_orders.domains.rentals.models import NEEDED

DAYS_AHEAD = 7


def days_of_rentals(retention_days: int) -> DayPartitions:
    """The partitions of `rentals`. A day is kept while one of its rentals has not ended."""
    return DayPartitions(
        "rentals", "started_at", ahead=DAYS_AHEAD, keep=retention_days, needed=NEEDED
    )


def no_day_of_rentals(name: str | None, kind: str, _parents: object) -> bool:
    """For Alembic: workers make and drop the partitions, and migrations leave them alone."""
    return kind != "table" or not name or days_of_rentals(1).day_of(name) is None

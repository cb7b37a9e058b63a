"""The dataclass of a reservation; `seating/models.py` declares the tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from servicekit.http.local_time import shown


@dataclass(frozen=True, slots=True)
class Reservation:
    """An allocation with a name, and its restaurant's `zone`. Times are in UTC."""

    id: int
    table_id: int
    customer_name: str
    begin: datetime
    end: datetime
    zone: ZoneInfo
    created_at: datetime

    @property
    def reservation_time(self) -> str:
        """When it begins, with the restaurant's offset."""
        return shown(self.begin, self.zone)

    @property
    def duration_minutes(self) -> int:
        return (self.end - self.begin) // timedelta(minutes=1)

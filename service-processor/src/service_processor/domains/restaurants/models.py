"""The dataclasses of restaurants, tables and reservations; `seating/` declares the tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Restaurant:
    id: int
    name: str
    address: str
    description: str | None
    timezone: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DiningTable:
    id: int
    restaurant_id: int
    name: str
    seats: int
    location: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation. Times are in UTC; `zone` is the restaurant's."""

    id: int
    table_id: int
    customer_name: str
    begin: datetime
    end: datetime
    zone: ZoneInfo
    created_at: datetime

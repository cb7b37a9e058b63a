"""The copy of restaurants and their tables, declared by the dataclasses of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from sqlalchemy import ForeignKey, Index, Integer, PrimaryKeyConstraint

from service_orders.metadata import metadata
from servicekit.database.tables import table_of


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
    restaurant_id: Annotated[int, ForeignKey("restaurants.id")]
    name: str
    seats: Annotated[int, Integer()]
    location: str


restaurants = table_of(
    Restaurant,
    "restaurants",
    metadata,
    PrimaryKeyConstraint("id"),
    Index("restaurants_by_age", "created_at", "id"),
)

restaurant_tables = table_of(
    DiningTable,
    "restaurant_tables",
    metadata,
    PrimaryKeyConstraint("id"),
    # The tables of a restaurant, smallest first.
    Index("restaurant_tables_by_size", "restaurant_id", "seats", "id"),
)

"""The copy of restaurants and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, Column, DateTime, ForeignKey, Index, Integer, Table, Text

from service_orders.metadata import metadata

restaurants = Table(
    "restaurants",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("description", Text),
    Column("timezone", Text, nullable=False),
    Column("created_at", DateTime(True), nullable=False),
    Index("restaurants_by_age", "created_at", "id"),
)

restaurant_tables = Table(
    "restaurant_tables",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("restaurant_id", ForeignKey("restaurants.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("seats", Integer, nullable=False),
    Column("location", Text, nullable=False),
    # The tables of a restaurant, smallest first.
    Index("restaurant_tables_by_size", "restaurant_id", "seats", "id"),
)


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
    name: str
    seats: int
    location: str

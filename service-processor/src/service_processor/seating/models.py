"""Restaurants, their tables, and the allocations of tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import TSTZRANGE, ExcludeConstraint

from service_processor.metadata import metadata
from servicekit.database.tables import table_of


@dataclass(frozen=True, slots=True)
class Restaurant:
    id: Annotated[int, Identity()]
    name: str
    address: str
    description: str | None
    timezone: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DiningTable:
    id: Annotated[int, Identity()]
    restaurant_id: Annotated[int, ForeignKey("restaurants.id")]
    name: str
    seats: Annotated[int, Integer()]
    location: str
    created_at: datetime


restaurants = table_of(
    Restaurant,
    "restaurants",
    metadata,
    PrimaryKeyConstraint("id"),
    Index("restaurants_by_age", "created_at", "id"),
)

tables = table_of(
    DiningTable,
    "tables",
    metadata,
    Column("deleted_at", DateTime(True)),
    PrimaryKeyConstraint("id"),
    # Allocation searches from the smallest table up, and leaves deleted ones out.
    Index(
        "tables_by_size",
        "restaurant_id",
        "seats",
        "id",
        postgresql_where=text("deleted_at IS NULL"),
    ),
    Index("tables_by_age", "created_at", "id", postgresql_where=text("deleted_at IS NULL")),
    Index(
        "tables_by_restaurant_and_age",
        "restaurant_id",
        "created_at",
        "id",
        postgresql_where=text("deleted_at IS NULL"),
    ),
)

# Statements write allocations and releases, and nothing reads their rows as objects.
# One table, because an exclusion constraint covers only one: see decision 0603.
allocations = Table(
    "allocations",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("table_id", ForeignKey("tables.id"), nullable=False),
    Column("period", TSTZRANGE, nullable=False),
    Column("booking_id", BigInteger, unique=True),
    Column("customer_name", Text),
    Column("created_at", DateTime(True), nullable=False),
    CheckConstraint("(booking_id IS NULL) <> (customer_name IS NULL)", name="holder"),
    CheckConstraint(
        "NOT isempty(period) AND lower_inc(period) AND NOT upper_inc(period)"
        " AND NOT lower_inf(period) AND NOT upper_inf(period)",
        name="period",
    ),
    # Proves that no table is allocated twice; also the index of a table's allocations.
    ExcludeConstraint(
        ("table_id", "="), ("period", "&&"), name="allocations_no_overlap", using="gist"
    ),
    # Each serves one list of reservations; bookings are not listed here.
    Index(
        "allocations_reservations_of_table_by_age",
        "table_id",
        "created_at",
        "id",
        postgresql_where=text("booking_id IS NULL"),
    ),
    Index(
        "allocations_reservations_by_age",
        "created_at",
        "id",
        postgresql_where=text("booking_id IS NULL"),
    ),
)

releases = Table(
    "releases",
    metadata,
    # Released allocations; the key proves that none is released twice.
    Column("allocation_id", BigInteger, primary_key=True, autoincrement=False),
    Column("table_id", BigInteger, nullable=False),
    Column("period", TSTZRANGE, nullable=False),
    Column("booking_id", BigInteger),
    Column("released_at", DateTime(True), nullable=False),
)

"""The decision about each booking, and the allocations that conflicted."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE

from service_processor.metadata import metadata

booking_decisions = Table(
    "booking_decisions",
    metadata,
    Column("booking_id", BigInteger, primary_key=True, autoincrement=False),
    Column("restaurant_id", BigInteger, nullable=False),
    Column("period", TSTZRANGE, nullable=False),
    Column("guests_count", Integer, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("table_id", BigInteger),
    # For a rejection: one conflicting allocation for each table that is big enough.
    Column("obstacles", JSONB, nullable=False),
    Column("decided_at", DateTime(True), nullable=False),
    Column("cancelled_at", DateTime(True)),
)

"""The table of payments: the money of each rental, and the outcomes of its steps."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Table, Text, Uuid

from service_processor.metadata import metadata

payments = Table(
    "payments",
    metadata,
    Column("rental_id", Uuid, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("deposit", BigInteger, nullable=False),
    Column("total", BigInteger),
    Column("hold", Text),
    Column("clear", Text),
    Column("release", Text),
    Column("updated_at", DateTime(True), nullable=False),
    CheckConstraint("deposit >= 0 AND total >= 0", name="amounts"),
)

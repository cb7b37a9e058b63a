"""What was decided about each order."""

from __future__ import annotations

from sqlalchemy import Column, DateTime, Table, Text, Uuid

from service_processor.metadata import metadata

fulfilments = Table(
    "fulfilments",
    metadata,
    Column("order_id", Uuid, primary_key=True),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("processed_at", DateTime(True), nullable=False),
)

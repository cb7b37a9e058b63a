"""How far the audit has come."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Table, Text

from service_processor.metadata import metadata

audit_positions = Table(
    "audit_positions",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    Column("updated_at", DateTime(True), nullable=False),
)

"""How far the audit has come."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Table, Text, Uuid

from service_processor.metadata import metadata

audit_positions = Table(
    "audit_positions",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    # Which stream it is: another one has another oldest message at the same offset.
    Column("head_offset", BigInteger, nullable=False),
    Column("head_event_id", Uuid),
    Column("updated_at", DateTime(True), nullable=False),
)

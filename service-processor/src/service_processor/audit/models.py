"""The position of the audit in its stream queue."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, DateTime, Table, Text, Uuid

from service_processor.metadata import metadata

audit_positions = Table(
    "audit_positions",
    metadata,
    Column("stream", Text, primary_key=True),
    Column("next_offset", BigInteger, nullable=False),
    # These identify the stream queue: another one has another oldest message at this offset.
    Column("head_offset", BigInteger, nullable=False),
    Column("head_event_id", Uuid),
    Column("updated_at", DateTime(True), nullable=False),
)

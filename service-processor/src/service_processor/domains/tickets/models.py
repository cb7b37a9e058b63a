"""The tables of timelines and notifications, and the dataclasses of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, DateTime, Table, Text, Uuid

from service_processor.metadata import metadata

# The keys guarantee one entry and one notification per ticket and version.
ticket_timeline = Table(
    "ticket_timeline",
    metadata,
    Column("ticket_id", Uuid, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("type", Text, nullable=False),
    Column("at", DateTime(True), nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("status", Text),
    Column("reason", Text),
    Column("comment_id", Uuid),
    Column("email", Text),
)

ticket_notifications = Table(
    "ticket_notifications",
    metadata,
    Column("ticket_id", Uuid, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("email", Text, nullable=False),
    Column("previous", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("at", DateTime(True), nullable=False),
)


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One version of a ticket. `status` is set for a new status, `comment_id` for a comment."""

    version: int
    type: str
    at: datetime
    event_id: UUID
    status: str | None = None
    reason: str | None = None
    comment_id: UUID | None = None
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """What the person who opened a ticket is told about one transition."""

    version: int
    email: str
    previous: str
    status: str
    reason: str | None
    at: datetime

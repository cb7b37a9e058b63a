"""Timelines and notifications: rows, and their tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import PrimaryKeyConstraint

from service_processor.metadata import metadata
from servicekit.database.tables import table_of


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One version of a ticket. `status` is set for a new status, `comment_id` for a comment."""

    ticket_id: UUID
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

    ticket_id: UUID
    version: int
    email: str
    previous: str
    status: str
    reason: str | None
    at: datetime


# The keys guarantee one entry and one notification per ticket and version.
_KEY = ("ticket_id", "version")
ticket_timeline = table_of(TimelineEntry, "ticket_timeline", metadata, PrimaryKeyConstraint(*_KEY))
ticket_notifications = table_of(
    Notification, "ticket_notifications", metadata, PrimaryKeyConstraint(*_KEY)
)

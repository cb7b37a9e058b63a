"""Timelines and notifications as they look from outside."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from servicekit.http.fields import Timestamp


class TimelineItem(BaseModel):
    """What one version of the ticket was about."""

    model_config = ConfigDict(from_attributes=True)

    version: int = Field(description="Of the ticket: 1, 2, 3 … without holes.", examples=[2])
    type: str = Field(examples=["ticket.status_changed"])
    at: Timestamp
    event_id: UUID
    status: str | None = Field(description="Where it went; null for what leaves the status.")
    reason: str | None
    comment_id: UUID | None
    email: str | None = Field(description="Who opened the ticket, or wrote the comment.")


class Timeline(BaseModel):
    """Oldest first."""

    items: list[TimelineItem]


class NotificationView(BaseModel):
    """What whoever opened the ticket is told about one transition."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    email: str
    previous: str
    status: str
    reason: str | None
    at: Timestamp


class Notifications(BaseModel):
    """Oldest first."""

    items: list[NotificationView]

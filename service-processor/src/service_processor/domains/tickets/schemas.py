"""The bodies of answers about timelines and notifications."""

from __future__ import annotations

from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from servicekit.http.fields import Timestamp


class TimelineItem(BaseModel):
    """One version of the ticket."""

    model_config = ConfigDict(from_attributes=True)

    version: int = Field(description="The ticket's version: 1, 2, 3 … without holes.", examples=[2])
    type: str = Field(examples=["ticket.status_changed"])
    at: Timestamp
    event_id: UUID
    status: str | None = Field(description="The new status; null if it did not change.")
    reason: str | None
    comment_id: UUID | None
    email: str | None = Field(
        description="The address of the person who opened the ticket or wrote the comment."
    )


class Timeline(BaseModel):
    """Entries, oldest first."""

    items: list[TimelineItem]


class NotificationView(BaseModel):
    """What the person who opened the ticket is told about one transition."""

    model_config = ConfigDict(from_attributes=True)

    version: int
    email: str
    previous: str
    status: str
    reason: str | None
    at: Timestamp


class Notifications(BaseModel):
    """Entries, oldest first."""

    items: list[NotificationView]

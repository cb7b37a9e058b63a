"""Tickets as they look from outside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service_orders.domains.tickets.models import Comment, HistoryEntry, Ticket
from service_orders.domains.tickets.states import TicketStatus
from servicekit.http.fields import Line, Text, Timestamp

# One @ with something on both sides; whether somebody reads there only a mail can tell.
Email = Annotated[str, Line(3, 254, r"^[^@\s]+@[^@\s]+$"), Field(examples=["ann@example.com"])]


class OpenTicket(BaseModel):
    """What somebody needs help with."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "subject": "No sound",
                    "text": "The left speaker is silent.",
                    "email": "ann@example.com",
                }
            ]
        }
    )

    subject: Annotated[str, Line(1, 200)]
    text: Annotated[str, Text(0, 10_000)]
    email: Email


class MoveTicket(BaseModel):
    """Where the ticket is to go."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "answered"}]})

    status: TicketStatus


class AddComment(BaseModel):
    """What somebody has to add."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"email": "bob@example.com", "text": "Is it plugged in?"}]}
    )

    email: Email
    text: Annotated[str, Text(1, 10_000)]


class CommentView(BaseModel):
    """A comment on a ticket."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    ticket_id: UUID
    email: str
    text: str
    created_at: Timestamp


class TicketSummary(BaseModel):
    """A ticket as it stands in a list, without its comments."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    subject: str
    text: str
    email: str
    status: TicketStatus
    version: int = Field(description="Counts every change, comments too; the ETag says it again.")
    created_at: Timestamp
    updated_at: Timestamp


class TicketView(TicketSummary):
    """A ticket with its comments, oldest first."""

    comments: list[CommentView]

    @classmethod
    def of(cls, ticket: Ticket, comments: Sequence[Comment | dict[str, Any]]) -> Self:
        summary = TicketSummary.model_validate(ticket)
        return cls(
            **summary.__dict__, comments=[CommentView.model_validate(one) for one in comments]
        )


class TicketHistoryItem(BaseModel):
    """A status that the ticket has had."""

    model_config = ConfigDict(from_attributes=True)

    status: str
    at: Timestamp
    reason: str | None
    caused_by: UUID | None = Field(description="The event that caused it; null for a request.")


class TicketHistory(BaseModel):
    """Oldest first."""

    items: list[TicketHistoryItem]

    @classmethod
    def of(cls, entries: Sequence[HistoryEntry]) -> Self:
        return cls(items=[TicketHistoryItem.model_validate(entry) for entry in entries])

"""The bodies of requests and answers about tickets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from service_orders.domains.tickets.models import Comment, Ticket
from service_orders.domains.tickets.states import TicketStatus
from servicekit.http.fields import Line, Text, Timestamp

# One @ with text on both sides. Only a mail can tell whether the address exists.
Email = Annotated[str, Line(3, 254, r"^[^@\s]+@[^@\s]+$"), Field(examples=["ann@example.com"])]


class OpenTicket(BaseModel):
    """A new ticket."""

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
    """The new status of a ticket."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "answered"}]})

    status: TicketStatus


class AddComment(BaseModel):
    """A new comment."""

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
    """A ticket in a list, without its comments."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    subject: str
    text: str
    email: str
    status: TicketStatus
    version: int = Field(description="Every change increases it; it is also the ETag.")
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

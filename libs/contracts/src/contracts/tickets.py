"""Events in the life of a ticket: one for each version it has had.

`ticket_version` counts every change, so that it equals the event's place in the stream of
service-orders. What people wrote stays there: events carry neither texts nor comments.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from contracts.base import Contract, Name, Reason

TicketStatus = Literal["open", "answered", "awaiting_reply", "closed"]


class _TicketEvent(Contract):
    aggregate_type: ClassVar[str] = "ticket"

    ticket_id: UUID

    @property
    def aggregate_id(self) -> str:
        return str(self.ticket_id)


class TicketCreated(_TicketEvent):
    """Somebody asked for help."""

    type: ClassVar[str] = "ticket.created"
    source: ClassVar[str] = "service-orders"

    ticket_version: int
    subject: Name
    email: Name
    status: TicketStatus
    created_at: datetime


class TicketStatusChanged(_TicketEvent):
    """The ticket moved on; whoever opened it is to be told."""

    type: ClassVar[str] = "ticket.status_changed"
    source: ClassVar[str] = "service-orders"

    ticket_version: int
    email: Name
    previous: TicketStatus
    status: TicketStatus
    reason: Reason | None
    changed_at: datetime


class TicketCommented(_TicketEvent):
    """Somebody added to the ticket; its status stands."""

    type: ClassVar[str] = "ticket.commented"
    source: ClassVar[str] = "service-orders"

    ticket_version: int
    comment_id: UUID
    email: Name
    commented_at: datetime


class TicketCommentDeleted(_TicketEvent):
    """A comment is gone; the ticket's status stands."""

    type: ClassVar[str] = "ticket.comment_deleted"
    source: ClassVar[str] = "service-orders"

    ticket_version: int
    comment_id: UUID
    deleted_at: datetime


class TicketCloseDue(_TicketEvent):
    """Nobody has moved the ticket for long; it is to be closed unless somebody has meanwhile."""

    type: ClassVar[str] = "ticket.close_due"
    source: ClassVar[str] = "service-processor"

    status_version: int
    """The version of the ticket's last transition, as far as the processor knows."""
    status: TicketStatus
    due_at: datetime

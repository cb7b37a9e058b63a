"""The events of tickets: one for each version of a ticket.

Every change increases `ticket_version`, so it equals the sequence of the event in the stream of
service-orders. Events carry neither texts nor comments: those stay in service-orders. See
decision 0757.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

from contracts.base import SAMPLE_TIME, Contract, Name, Reason
from contracts.exchanges import ORDERS, PROCESSOR

TicketStatus = Literal["open", "answered", "awaiting_reply", "closed"]


class _TicketEvent(Contract):
    aggregate_type: ClassVar[str] = "ticket"

    ticket_id: UUID

    @property
    def aggregate_id(self) -> str:
        return str(self.ticket_id)


class TicketCreated(_TicketEvent):
    """A person opened a ticket."""

    type: ClassVar[str] = "ticket.created"
    source: ClassVar[str] = "service-orders"

    ticket_version: int
    subject: Name
    email: Name
    status: TicketStatus
    created_at: datetime


class TicketStatusChanged(_TicketEvent):
    """The ticket has a new status; the person who opened it has to be notified."""

    type: ClassVar[str] = "ticket.status_changed"
    source: ClassVar[str] = "service-orders"

    ticket_version: int
    email: Name
    previous: TicketStatus
    status: TicketStatus
    reason: Reason | None
    changed_at: datetime


class TicketCommented(_TicketEvent):
    """A person commented on the ticket; its status stays."""

    type: ClassVar[str] = "ticket.commented"
    source: ClassVar[str] = "service-orders"

    ticket_version: int
    comment_id: UUID
    email: Name
    commented_at: datetime


class TicketCommentDeleted(_TicketEvent):
    """A comment was deleted; the ticket's status stays."""

    type: ClassVar[str] = "ticket.comment_deleted"
    source: ClassVar[str] = "service-orders"

    ticket_version: int
    comment_id: UUID
    deleted_at: datetime


class TicketCloseDue(_TicketEvent):
    """The ticket was idle for long; it has to be closed unless it has moved since."""

    type: ClassVar[str] = "ticket.close_due"
    source: ClassVar[str] = "service-processor"

    status_version: int
    """The version of the last transition that the processor knows."""
    status: TicketStatus
    due_at: datetime


PROCESSOR_TICKETS = ORDERS.to("processor.tickets", "ticket")
ORDERS_TICKETS = PROCESSOR.to("orders.tickets", "ticket")

_ID = UUID("01900000-0000-7000-8000-000000000002")
_COMMENT = UUID("01900000-0000-7000-8000-000000000003")
SAMPLES = (
    TicketCreated(
        ticket_id=_ID,
        ticket_version=1,
        subject="No sound",
        email="ann@example.com",
        status="open",
        created_at=SAMPLE_TIME,
    ),
    TicketStatusChanged(
        ticket_id=_ID,
        ticket_version=2,
        email="ann@example.com",
        previous="open",
        status="answered",
        reason=None,
        changed_at=SAMPLE_TIME,
    ),
    TicketCommented(
        ticket_id=_ID,
        ticket_version=3,
        comment_id=_COMMENT,
        email="bob@example.com",
        commented_at=SAMPLE_TIME,
    ),
    TicketCommentDeleted(
        ticket_id=_ID, ticket_version=4, comment_id=_COMMENT, deleted_at=SAMPLE_TIME
    ),
    TicketCloseDue(ticket_id=_ID, status_version=2, status="answered", due_at=SAMPLE_TIME),
)

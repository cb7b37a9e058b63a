"""The lifecycle of a ticket."""

from __future__ import annotations

from enum import StrEnum

from servicekit.service.lifecycle import Lifecycle


class TicketStatus(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"
    AWAITING_REPLY = "awaiting_reply"
    CLOSED = "closed"


LIFECYCLE = Lifecycle(
    "ticket",
    {
        TicketStatus.OPEN: {TicketStatus.ANSWERED, TicketStatus.CLOSED},
        TicketStatus.ANSWERED: {TicketStatus.AWAITING_REPLY, TicketStatus.CLOSED},
        TicketStatus.AWAITING_REPLY: {TicketStatus.ANSWERED, TicketStatus.CLOSED},
        TicketStatus.CLOSED: set(),
    },
)


def accepts_comments(status: TicketStatus) -> bool:
    """Whether people may still add comments."""
    return status is not TicketStatus.CLOSED

"""The life of a ticket: a table and one function."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class TicketStatus(StrEnum):
    OPEN = "open"
    ANSWERED = "answered"
    AWAITING_REPLY = "awaiting_reply"
    CLOSED = "closed"


ALLOWED: Mapping[TicketStatus, frozenset[TicketStatus]] = {
    TicketStatus.OPEN: frozenset({TicketStatus.ANSWERED, TicketStatus.CLOSED}),
    TicketStatus.ANSWERED: frozenset({TicketStatus.AWAITING_REPLY, TicketStatus.CLOSED}),
    TicketStatus.AWAITING_REPLY: frozenset({TicketStatus.ANSWERED, TicketStatus.CLOSED}),
    TicketStatus.CLOSED: frozenset(),
}


class IllegalTransition(ValueError):
    """A ticket is asked to go where its status does not lead."""

    def __init__(self, current: TicketStatus, target: TicketStatus) -> None:
        self.allowed = sorted(ALLOWED[current])
        super().__init__(f"A ticket that is {current} cannot become {target}.")


def move(current: TicketStatus, target: TicketStatus) -> TicketStatus:
    """The new status. Raises `IllegalTransition`."""
    if target not in ALLOWED[current]:
        raise IllegalTransition(current, target)
    return target


def takes_comments(status: TicketStatus) -> bool:
    """Whether somebody may still add to the ticket."""
    return status is not TicketStatus.CLOSED

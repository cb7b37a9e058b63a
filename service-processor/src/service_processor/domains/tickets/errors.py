"""The refusals of requests about tickets."""

from __future__ import annotations

from uuid import UUID


class TicketNotKnown(LookupError):
    """No event of this ticket has arrived."""

    def __init__(self, ticket_id: UUID) -> None:
        super().__init__(f"Nothing is known here about ticket {ticket_id}.")

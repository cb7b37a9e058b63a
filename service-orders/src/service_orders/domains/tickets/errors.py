"""What can be wrong with a request about tickets."""

from __future__ import annotations

from uuid import UUID


class TicketNotFound(LookupError):
    """There is no ticket with this id."""

    def __init__(self, ticket_id: UUID) -> None:
        super().__init__(f"There is no ticket {ticket_id}.")


class CommentNotFound(LookupError):
    """The ticket has no comment with this id."""

    def __init__(self, ticket_id: UUID, comment_id: UUID) -> None:
        super().__init__(f"Ticket {ticket_id} has no comment {comment_id}.")


class TicketClosed(ValueError):
    """Nobody can add to a closed ticket."""

    def __init__(self, ticket_id: UUID) -> None:
        super().__init__(f"Ticket {ticket_id} is closed and takes no comment.")


class TooManyComments(ValueError):
    """The ticket has as many comments as a ticket may have."""

    def __init__(self, ticket_id: UUID, limit: int) -> None:
        super().__init__(f"Ticket {ticket_id} has {limit:,} comments; open another one.")


class StaleTicket(ValueError):
    """The ticket has moved on from the version that `If-Match` named."""

    def __init__(self, ticket_id: UUID, version: int) -> None:
        self.version = version
        super().__init__(f"Ticket {ticket_id} is at version {version}, not at the one you name.")

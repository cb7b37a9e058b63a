"""The refusals of requests about tickets."""

from __future__ import annotations

from uuid import UUID

from servicekit.service.rows import NotFound


class TicketNotFound(NotFound):
    noun = "ticket"


class CommentNotFound(LookupError):
    """The ticket has no comment with this id."""

    def __init__(self, ticket_id: UUID, comment_id: UUID) -> None:
        super().__init__(f"Ticket {ticket_id} has no comment {comment_id}.")


class TicketClosed(ValueError):
    """A closed ticket accepts no comments."""

    def __init__(self, ticket_id: UUID) -> None:
        super().__init__(f"Ticket {ticket_id} is closed and takes no comment.")


class TooManyComments(ValueError):
    """The ticket has the greatest number of comments that it may have."""

    def __init__(self, ticket_id: UUID, limit: int) -> None:
        super().__init__(f"Ticket {ticket_id} has {limit:,} comments; open another one.")


class StaleTicket(ValueError):
    """The ticket has another version than `If-Match` names."""

    def __init__(self, ticket_id: UUID, version: int) -> None:
        self.version = version
        super().__init__(f"Ticket {ticket_id} is at version {version}, not at the one you name.")

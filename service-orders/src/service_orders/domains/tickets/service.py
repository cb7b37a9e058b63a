"""Use cases of tickets. The caller begins the transaction and commits it.

Invariant: each change of a ticket locks its row, increases its version by one and emits one event.
So the versions, events and commits of a ticket have the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from contracts.tickets import (
    TicketCloseDue,
    TicketCommentDeleted,
    TicketCommented,
    TicketCreated,
    TicketStatusChanged,
)
from outbox import Envelope, UnitOfWork
from service_orders.domains.tickets import repository
from service_orders.domains.tickets.errors import (
    CommentNotFound,
    StaleTicket,
    TicketClosed,
    TooManyComments,
)
from service_orders.domains.tickets.models import Comment, Ticket
from service_orders.domains.tickets.schemas import AddComment, OpenTicket
from service_orders.domains.tickets.states import LIFECYCLE, TicketStatus, accepts_comments

# A ticket is read and answered with all its comments, by PATCH while its row is locked.
MAX_COMMENTS = 1_000  # see decision 0854


async def open_ticket(unit: UnitOfWork, wanted: OpenTicket) -> Ticket:
    """Store a ticket and emit its event."""
    now = datetime.now(UTC)
    ticket = Ticket(
        uuid7(),
        wanted.subject,
        wanted.text,
        wanted.email,
        TicketStatus.OPEN,
        version=1,
        status_version=1,
        created_at=now,
        updated_at=now,
    )
    created = TicketCreated(
        ticket_id=ticket.id,
        ticket_version=ticket.version,
        subject=ticket.subject,
        email=ticket.email,
        status=ticket.status.value,
        created_at=now,
    )
    await repository.opened(unit, ticket, created)
    return ticket


async def move(
    unit: UnitOfWork,
    ticket_id: UUID,
    target: TicketStatus,
    *,
    expected: Callable[[int], bool] = lambda _: True,
) -> Ticket:
    """Move a ticket to another status if `expected` accepts the version that it has.

    Raises `TicketNotFound`, `StaleTicket` or `IllegalTransition`.
    """
    ticket = await repository.ROWS.lock(unit.connection, ticket_id)
    if not expected(ticket.version):
        raise StaleTicket(ticket_id, ticket.version)
    moved, event = _moved(ticket, LIFECYCLE.move(ticket.status, target))
    await repository.moved(unit, moved, event)
    return moved


async def close_unmoved(
    unit: UnitOfWork, due: Sequence[TicketCloseDue], causes: Sequence[Envelope]
) -> None:
    """Close tickets. If one has moved since, its event comes too late and changes nothing."""
    tickets = await repository.ROWS.lock_all(unit.connection, {one.ticket_id for one in due})
    closed: list[tuple[Ticket, TicketStatusChanged, Envelope]] = []
    for one, cause in zip(due, causes, strict=True):
        before = tickets[one.ticket_id]
        if before.status_version == one.status_version:  # see decision 0755
            target = LIFECYCLE.move(before.status, TicketStatus.CLOSED)
            ticket, event = _moved(before, target, f"stayed {before.status} for too long")
            tickets[one.ticket_id] = ticket
            closed.append((ticket, event, cause))
    await repository.moved_all(unit, closed)


async def comment(unit: UnitOfWork, ticket_id: UUID, wanted: AddComment) -> tuple[Ticket, Comment]:
    """Add a comment. Raises `TicketNotFound`, `TicketClosed` or `TooManyComments`."""
    before = await repository.ROWS.lock(unit.connection, ticket_id)
    if not accepts_comments(before.status):
        raise TicketClosed(ticket_id)
    if await _is_full(unit, before):
        raise TooManyComments(ticket_id, MAX_COMMENTS)
    ticket = _next(before)
    added = Comment(uuid7(), ticket_id, wanted.email, wanted.text, ticket.updated_at)
    event = TicketCommented(
        ticket_id=ticket_id,
        ticket_version=ticket.version,
        comment_id=added.id,
        email=added.email,
        commented_at=added.created_at,
    )
    await repository.commented(unit, ticket, added, event)
    return ticket, added


async def delete_comment(unit: UnitOfWork, ticket_id: UUID, comment_id: UUID) -> Ticket:
    """Remove a comment, also of a closed ticket (decision 0756).

    Raises `TicketNotFound` or `CommentNotFound`.
    """
    ticket = _next(await repository.ROWS.lock(unit.connection, ticket_id))
    if not await repository.has_comment(unit.connection, ticket_id, comment_id):
        raise CommentNotFound(ticket_id, comment_id)
    event = TicketCommentDeleted(
        ticket_id=ticket_id,
        ticket_version=ticket.version,
        comment_id=comment_id,
        deleted_at=ticket.updated_at,
    )
    await repository.comment_deleted(unit, ticket, comment_id, event)
    return ticket


async def _is_full(unit: UnitOfWork, ticket: Ticket) -> bool:
    # Each comment is a version, so a ticket with few versions has few comments.
    if ticket.version <= MAX_COMMENTS:
        return False
    return await repository.comment_count(unit.connection, ticket.id) >= MAX_COMMENTS


def _moved(
    before: Ticket, target: TicketStatus, reason: str | None = None
) -> tuple[Ticket, TicketStatusChanged]:
    """The ticket as it is then, and the event that says so."""
    following = _next(before)
    ticket = replace(following, status=target, status_version=following.version)
    event = TicketStatusChanged(
        ticket_id=ticket.id,
        ticket_version=ticket.version,
        email=ticket.email,
        previous=before.status.value,
        status=ticket.status.value,
        reason=reason,
        changed_at=ticket.updated_at,
    )
    return ticket, event


def _next(ticket: Ticket) -> Ticket:
    """The next version of a ticket. Its time never goes back, whatever a machine's clock does."""
    at = max(datetime.now(UTC), ticket.updated_at)
    return replace(ticket, version=ticket.version + 1, updated_at=at)

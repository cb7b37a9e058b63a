"""The statements of tickets. A change of a locked ticket is one statement with its event.

The version of the ticket is the sequence of the event: see decision 0750.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, Uuid, any_, bindparam, func, literal_column, select
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import Event, SingleWrite, UnitOfWork, Work
from service_orders.domains.tickets.errors import TicketNotFound
from service_orders.domains.tickets.models import (
    Comment,
    Ticket,
    ticket_comments,
    tickets,
)
from servicekit.http.pagination import Keyset
from servicekit.service.rows import Rows

ROWS = Rows[UUID, Ticket](tickets, Ticket, TicketNotFound, newest_first=Keyset(tickets.c.id))

_OPENED = """
opened AS (
  INSERT INTO tickets (id, subject, text, email, status, version, status_version,
                       created_at, updated_at)
  VALUES (%(id)s, %(subject)s, %(text)s, %(email)s, %(status)s, %(version)s, %(version)s,
          %(at)s, %(at)s)
), history AS (
  INSERT INTO ticket_history (ticket_id, version, status, at)
  VALUES (%(id)s, %(version)s, %(status)s, %(at)s)
)"""

_MOVED = """
moved AS (
  UPDATE tickets SET status = %(status)s, version = %(version)s, status_version = %(version)s,
                     updated_at = %(at)s
   WHERE id = %(id)s
), history AS (
  INSERT INTO ticket_history (ticket_id, version, status, at, reason, caused_by)
  VALUES (%(id)s, %(version)s, %(status)s, %(at)s, %(reason)s, %(caused_by)s)
)"""

_COMMENTED = """
touched AS (
  UPDATE tickets SET version = %(version)s, updated_at = %(at)s WHERE id = %(id)s
), commented AS (
  INSERT INTO ticket_comments (ticket_id, version, id, email, text, created_at)
  VALUES (%(id)s, %(version)s, %(comment_id)s, %(comment_email)s, %(comment_text)s, %(at)s)
)"""

_COMMENT_DELETED = """
touched AS (
  UPDATE tickets SET version = %(version)s, updated_at = %(at)s WHERE id = %(id)s
), gone AS (
  DELETE FROM ticket_comments WHERE id = %(comment_id)s
)"""

_COMMENT_ROW = [ticket_comments.c[field] for field in Comment.__slots__]
_THESE = tickets.c.id == any_(bindparam("ids", type_=ARRAY(Uuid)))

# A ticket and its comments are read in one snapshot, so a version stands for one content.
_COMMENT_PARTS: list[ColumnElement[Any]] = []
for _column in _COMMENT_ROW:
    _COMMENT_PARTS += [literal_column(f"'{_column.name}'"), _column]
_COMMENTS = func.json_build_object(*_COMMENT_PARTS)
_WHOLE = select(
    *ROWS.columns,
    select(func.json_agg(aggregate_order_by(_COMMENTS, ticket_comments.c.version)))
    .where(ticket_comments.c.ticket_id == tickets.c.id)
    .scalar_subquery()
    .label("comments"),
).where(_THESE)
_VERSIONS = select(tickets.c.id, tickets.c.version).where(_THESE)


async def opened(unit: UnitOfWork | SingleWrite, ticket: Ticket, event: Event) -> None:
    """Insert a new ticket with the first entry of its history, and emit its event."""
    parameters = {
        "subject": ticket.subject,
        "text": ticket.text,
        "email": ticket.email,
        **_changed(ticket),
    }
    await unit.write(_OPENED, parameters, event)


async def moved(
    unit: UnitOfWork, ticket: Ticket, event: Event, *, reason: str | None, caused_by: UUID | None
) -> None:
    """Store the new status of a ticket that is locked, and emit the event."""
    parameters = {**_changed(ticket), "reason": reason, "caused_by": caused_by}
    await unit.write(_MOVED, parameters, event)


async def commented(unit: UnitOfWork, ticket: Ticket, comment: Comment, event: Event) -> None:
    """Store a comment, which is a new version of the ticket, and emit the event."""
    parameters = {
        "comment_id": comment.id,
        "comment_email": comment.email,
        "comment_text": comment.text,
        **_changed(ticket),
    }
    await unit.write(_COMMENTED, parameters, event)


async def comment_deleted(unit: UnitOfWork, ticket: Ticket, comment_id: UUID, event: Event) -> None:
    """Remove a comment, which is a new version of the ticket, and emit the event."""
    await unit.write(_COMMENT_DELETED, {"comment_id": comment_id, **_changed(ticket)}, event)


async def find_all(
    work: Work, ticket_ids: Sequence[UUID]
) -> list[tuple[Ticket, list[dict[str, Any]]]]:
    """Those of these tickets that exist, with their comments; in one round trip."""
    async with work.read() as connection:
        rows = await connection.execute(_WHOLE, {"ids": list(ticket_ids)})
        return [(ROWS.read(row), row.comments or []) for row in rows]


async def versions(work: Work, ticket_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The versions of those of these tickets that exist, read by the primary key."""
    async with work.read() as connection:
        rows = await connection.execute(_VERSIONS, {"ids": list(ticket_ids)})
        return {row.id: row.version for row in rows}


async def comments_of(connection: AsyncConnection, ticket_id: UUID) -> list[Comment]:
    """The comments of a ticket, oldest first."""
    found = select(*_COMMENT_ROW).where(ticket_comments.c.ticket_id == ticket_id)
    rows = await connection.execute(found.order_by(ticket_comments.c.version))
    return [Comment(*row) for row in rows]


async def comment_count(connection: AsyncConnection, ticket_id: UUID) -> int:
    """How many comments a ticket has; served by the primary key."""
    found = select(func.count()).where(ticket_comments.c.ticket_id == ticket_id)
    count: int = (await connection.execute(found)).scalar_one()
    return count


async def has_comment(connection: AsyncConnection, ticket_id: UUID, comment_id: UUID) -> bool:
    """Whether the ticket has this comment."""
    found = select(ticket_comments.c.id).where(
        ticket_comments.c.id == comment_id, ticket_comments.c.ticket_id == ticket_id
    )
    return (await connection.execute(found)).first() is not None


def _changed(ticket: Ticket) -> dict[str, Any]:
    return {
        "id": ticket.id,
        "status": ticket.status.value,
        "version": ticket.version,
        "at": ticket.updated_at,
    }

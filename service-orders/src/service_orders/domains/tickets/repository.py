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

from contracts.tickets import TicketStatusChanged
from outbox import Envelope, Event, UnitOfWork, Work
from service_orders.domains.tickets.errors import TicketNotFound
from service_orders.domains.tickets.models import (
    Comment,
    Ticket,
    ticket_comments,
    ticket_history,
    tickets,
)
from servicekit.database.tables import RowMapper, rows_given
from servicekit.service.rows import Rows

ROWS = Rows[UUID, Ticket](tickets, Ticket, TicketNotFound)
COMMENTS = RowMapper(ticket_comments, Comment)

_OPENED = f"opened AS ({ROWS.insert}), history AS ({ticket_history.insert_first})"

_MOVED = """
moved AS (
  UPDATE tickets SET status = %(status)s, version = %(version)s,
                     status_version = %(status_version)s, updated_at = %(updated_at)s
   WHERE id = %(id)s
), history AS (
  INSERT INTO ticket_history (ticket_id, version, status, at)
  VALUES (%(id)s, %(version)s, %(status)s, %(updated_at)s)
)"""

_CAUSES = [ticket_history.table.c[name] for name in ("reason", "caused_by")]
_CHANGED = [tickets.c[name] for name in ("id", "status", "version", "status_version", "updated_at")]
_NAMES = ", ".join(column.name for column in (*_CHANGED, *_CAUSES))
_MOVED_ALL = f"""
WITH given AS (
  SELECT * FROM {rows_given([*_CHANGED, *_CAUSES])} AS given({_NAMES})
), moved AS (
  UPDATE tickets SET status = given.status, version = given.version,
                     status_version = given.status_version, updated_at = given.updated_at
    FROM given WHERE tickets.id = given.id
)
INSERT INTO ticket_history (ticket_id, version, status, at, reason, caused_by)
SELECT id, version, status, updated_at, reason, caused_by FROM given
"""  # noqa: S608

_COMMENTED = """
touched AS (
  UPDATE tickets SET version = %(version)s, updated_at = %(updated_at)s WHERE id = %(id)s
), commented AS (
  INSERT INTO ticket_comments (ticket_id, version, id, email, text, created_at)
  VALUES (%(id)s, %(version)s, %(comment_id)s, %(comment_email)s, %(comment_text)s,
          %(updated_at)s)
)"""

_COMMENT_DELETED = """
touched AS (
  UPDATE tickets SET version = %(version)s, updated_at = %(updated_at)s WHERE id = %(id)s
), gone AS (
  DELETE FROM ticket_comments WHERE id = %(comment_id)s
)"""

_THESE = tickets.c.id == any_(bindparam("ids", type_=ARRAY(Uuid)))

# A ticket and its comments are read in one snapshot, so a version stands for one content.
_COMMENT_PARTS: list[ColumnElement[Any]] = []
for _column in COMMENTS.columns:
    _COMMENT_PARTS += [literal_column(f"'{_column.name}'"), _column]
_COMMENTS = func.json_build_object(*_COMMENT_PARTS)
_WHOLE = ROWS.all.add_columns(
    select(func.json_agg(aggregate_order_by(_COMMENTS, ticket_comments.c.version)))
    .where(ticket_comments.c.ticket_id == tickets.c.id)
    .scalar_subquery()
    .label("comments")
).where(_THESE)
_VERSIONS = select(tickets.c.id, tickets.c.version).where(_THESE)


async def opened(unit: UnitOfWork, ticket: Ticket, event: Event) -> None:
    """Insert a new ticket with the first entry of its history, and emit its event."""
    await unit.write(_OPENED, ROWS.values(ticket), event)


async def moved(unit: UnitOfWork, ticket: Ticket, event: Event) -> None:
    """Store the new status of a ticket that is locked, and emit the event."""
    await unit.write(_MOVED, ROWS.values(ticket), event)


async def moved_all(
    unit: UnitOfWork, moves: Sequence[tuple[Ticket, TicketStatusChanged, Envelope]]
) -> None:
    """Store the new status of tickets that are locked; emit the event of each, with its cause."""
    if not moves:
        return
    lists = ROWS.listed([ticket for ticket, _, _ in moves])
    parameters = {
        **{column.name: lists[column.name] for column in _CHANGED},
        "reason": [event.reason for _, event, _ in moves],
        "caused_by": [cause.id for _, _, cause in moves],
    }
    await unit.send(_MOVED_ALL, parameters)
    for _, event, cause in moves:
        await unit.caused_by(cause).emit(event)


async def commented(unit: UnitOfWork, ticket: Ticket, comment: Comment, event: Event) -> None:
    """Store a comment, which is a new version of the ticket, and emit the event."""
    added = {f"comment_{name}": value for name, value in COMMENTS.values(comment).items()}
    parameters = {**ROWS.values(ticket), **added}
    await unit.write(_COMMENTED, parameters, event)


async def comment_deleted(unit: UnitOfWork, ticket: Ticket, comment_id: UUID, event: Event) -> None:
    """Remove a comment, which is a new version of the ticket, and emit the event."""
    await unit.write(_COMMENT_DELETED, {"comment_id": comment_id, **ROWS.values(ticket)}, event)


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
    these = COMMENTS.all.where(ticket_comments.c.ticket_id == ticket_id)
    return await COMMENTS.fetch(connection, these.order_by(ticket_comments.c.version))


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

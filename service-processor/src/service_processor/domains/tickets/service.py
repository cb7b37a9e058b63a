"""Keeps the timeline and the notifications of tickets, and schedules the close of idle ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from contracts.tickets import (
    TicketCloseDue,
    TicketCommentDeleted,
    TicketCommented,
    TicketCreated,
    TicketStatusChanged,
)
from outbox import UnitOfWork
from service_processor.domains.tickets import repository
from service_processor.domains.tickets.models import Notification, TimelineEntry

CLOSED_WHEN_IDLE = frozenset({"answered", "awaiting_reply"})
"""A ticket in one of these statuses is closed when it does not move."""


async def record_opened(unit: UnitOfWork, event: TicketCreated) -> None:
    entry = TimelineEntry(
        event.ticket_id,
        event.ticket_version,
        event.type,
        event.created_at,
        _event_id(unit),
        status=event.status,
        email=event.email,
    )
    await repository.TIMELINE.add_new(unit.connection, entry)


async def record_moved(unit: UnitOfWork, event: TicketStatusChanged) -> None:
    """Record the transition, and notify the person who opened the ticket."""
    entry = TimelineEntry(
        event.ticket_id,
        event.ticket_version,
        event.type,
        event.changed_at,
        _event_id(unit),
        status=event.status,
        reason=event.reason,
    )
    notification = Notification(
        event.ticket_id,
        event.ticket_version,
        event.email,
        event.previous,
        event.status,
        event.reason,
        event.changed_at,
    )
    await repository.TIMELINE.add_new(unit.connection, entry)
    await repository.NOTIFICATIONS.add_new(unit.connection, notification)


async def record_commented(unit: UnitOfWork, event: TicketCommented) -> None:
    entry = TimelineEntry(
        event.ticket_id,
        event.ticket_version,
        event.type,
        event.commented_at,
        _event_id(unit),
        comment_id=event.comment_id,
        email=event.email,
    )
    await repository.TIMELINE.add_new(unit.connection, entry)


async def record_comment_deleted(unit: UnitOfWork, event: TicketCommentDeleted) -> None:
    entry = TimelineEntry(
        event.ticket_id,
        event.ticket_version,
        event.type,
        event.deleted_at,
        _event_id(unit),
        comment_id=event.comment_id,
    )
    await repository.TIMELINE.add_new(unit.connection, entry)


@dataclass(frozen=True, slots=True)
class AutoClose:
    """Closes a ticket that stays idle for `after`.

    The deadline is a scheduled event: each transition replaces it, and the last one cancels it.
    It counts from the transition itself, so a late delivery or a restart does not move it.
    """

    after: timedelta

    async def reschedule(self, unit: UnitOfWork, event: TicketStatusChanged) -> None:
        """Replace the deadline of a ticket that has moved."""
        key = f"ticket/{event.ticket_id}/close"
        if event.status not in CLOSED_WHEN_IDLE:
            await unit.unschedule(key)
            return
        at = event.changed_at + self.after
        due = TicketCloseDue(
            ticket_id=event.ticket_id,
            status_version=event.ticket_version,
            status=event.status,
            due_at=at,
        )
        await unit.schedule(due, key=key, at=at)


def _event_id(unit: UnitOfWork) -> UUID:
    assert unit.cause is not None
    return unit.cause.id

"""Keeping a ticket's timeline, telling people, and closing what nobody moves.

A deadline is a scheduled event: replaced by every transition, cancelled by the last. It counts
from the transition itself, so that it does not matter when we heard of it, or were restarted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from contracts import (
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
"""The statuses in which a ticket is closed when nobody moves it."""


@dataclass(frozen=True, slots=True)
class Desk:
    """How long a ticket may stay as it is."""

    closes_after: timedelta

    async def opened(self, unit: UnitOfWork, event: TicketCreated) -> None:
        entry = TimelineEntry(
            event.ticket_version,
            event.type,
            event.created_at,
            _event_id(unit),
            status=event.status,
            email=event.email,
        )
        await repository.record(unit.connection, event.ticket_id, entry)

    async def moved(self, unit: UnitOfWork, event: TicketStatusChanged) -> None:
        """Record it, tell who opened the ticket, and set the clock anew."""
        entry = TimelineEntry(
            event.ticket_version,
            event.type,
            event.changed_at,
            _event_id(unit),
            status=event.status,
            reason=event.reason,
        )
        notification = Notification(
            event.ticket_version,
            event.email,
            event.previous,
            event.status,
            event.reason,
            event.changed_at,
        )
        await repository.record(unit.connection, event.ticket_id, entry)
        await repository.notify(unit.connection, event.ticket_id, notification)
        await self._set_clock(unit, event)

    async def commented(self, unit: UnitOfWork, event: TicketCommented) -> None:
        entry = TimelineEntry(
            event.ticket_version,
            event.type,
            event.commented_at,
            _event_id(unit),
            comment_id=event.comment_id,
            email=event.email,
        )
        await repository.record(unit.connection, event.ticket_id, entry)

    async def comment_deleted(self, unit: UnitOfWork, event: TicketCommentDeleted) -> None:
        entry = TimelineEntry(
            event.ticket_version,
            event.type,
            event.deleted_at,
            _event_id(unit),
            comment_id=event.comment_id,
        )
        await repository.record(unit.connection, event.ticket_id, entry)

    async def _set_clock(self, unit: UnitOfWork, event: TicketStatusChanged) -> None:
        key = f"ticket/{event.ticket_id}/close"
        if event.status not in CLOSED_WHEN_IDLE:
            await unit.unschedule(key)
            return
        at = event.changed_at + self.closes_after
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

"""Keeps the timeline and the notifications of tickets, and schedules the close of idle ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from contracts.tickets import (
    TicketCloseDue,
    TicketCommentDeleted,
    TicketCommented,
    TicketCreated,
    TicketStatusChanged,
)
from outbox import Envelope, UnitOfWork
from service_processor.domains.tickets import repository
from service_processor.domains.tickets.models import Notification, TimelineEntry

CLOSED_WHEN_IDLE = frozenset({"answered", "awaiting_reply"})
"""A ticket in one of these statuses is closed when it does not move."""


def opened(event: TicketCreated, cause: Envelope) -> TimelineEntry:
    return TimelineEntry(
        event.ticket_id,
        event.ticket_version,
        event.type,
        event.created_at,
        cause.id,
        status=event.status,
        email=event.email,
    )


def moved(event: TicketStatusChanged, cause: Envelope) -> TimelineEntry:
    return TimelineEntry(
        event.ticket_id,
        event.ticket_version,
        event.type,
        event.changed_at,
        cause.id,
        status=event.status,
        reason=event.reason,
    )


def commented(event: TicketCommented, cause: Envelope) -> TimelineEntry:
    return TimelineEntry(
        event.ticket_id,
        event.ticket_version,
        event.type,
        event.commented_at,
        cause.id,
        comment_id=event.comment_id,
        email=event.email,
    )


def comment_deleted(event: TicketCommentDeleted, cause: Envelope) -> TimelineEntry:
    return TimelineEntry(
        event.ticket_id,
        event.ticket_version,
        event.type,
        event.deleted_at,
        cause.id,
        comment_id=event.comment_id,
    )


async def record(unit: UnitOfWork, entries: Iterable[TimelineEntry]) -> None:
    """Add entries to the timelines of their tickets."""
    await repository.record(unit, list(entries))


async def notify(unit: UnitOfWork, changed: Sequence[TicketStatusChanged]) -> None:
    """Notify the people who opened the tickets."""
    notifications = [
        Notification(
            event.ticket_id,
            event.ticket_version,
            event.email,
            event.previous,
            event.status,
            event.reason,
            event.changed_at,
        )
        for event in changed
    ]
    await repository.notify(unit, notifications)


@dataclass(frozen=True, slots=True)
class AutoClose:
    """Closes a ticket that stays idle for `after`.

    The deadline is a scheduled event: each transition replaces it, and the last one unschedules it.
    It counts from the transition itself, so a late delivery or a restart does not move it.
    """

    after: timedelta

    async def reschedule(
        self, unit: UnitOfWork, changed: Sequence[TicketStatusChanged], causes: Sequence[Envelope]
    ) -> None:
        """Replace the deadlines of tickets that have moved."""
        last = {
            event.ticket_id: (event, cause) for event, cause in zip(changed, causes, strict=True)
        }
        moved = [event for event, _ in last.values() if event.status not in CLOSED_WHEN_IDLE]
        if moved:
            await unit.unschedule(*map(_key, moved))
        for event, cause in last.values():
            if event.status in CLOSED_WHEN_IDLE:
                await self._schedule(unit.caused_by(cause), event)

    async def _schedule(self, unit: UnitOfWork, event: TicketStatusChanged) -> None:
        at = event.changed_at + self.after
        due = TicketCloseDue(
            ticket_id=event.ticket_id,
            status_version=event.ticket_version,
            status=event.status,
            due_at=at,
        )
        await unit.schedule(due, key=_key(event), at=at)


def _key(event: TicketStatusChanged) -> str:
    return f"ticket/{event.ticket_id}/close"

"""The statements of timelines and notifications."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import UnitOfWork
from service_processor.domains.tickets.models import (
    Notification,
    TimelineEntry,
    ticket_notifications,
    ticket_timeline,
)
from servicekit.database.tables import RowMapper

TIMELINE = RowMapper(ticket_timeline, TimelineEntry)
NOTIFICATIONS = RowMapper(ticket_notifications, Notification)


# The keys allow one row for each version; one that exists stays as it is.
_RECORDED = f"{TIMELINE.insert_all} ON CONFLICT DO NOTHING"
_NOTIFIED = f"{NOTIFICATIONS.insert_all} ON CONFLICT DO NOTHING"


async def record(unit: UnitOfWork, entries: Sequence[TimelineEntry]) -> None:
    """Store entries of timelines."""
    await unit.send(_RECORDED, TIMELINE.listed(entries))


async def notify(unit: UnitOfWork, notifications: Sequence[Notification]) -> None:
    """Store notifications."""
    await unit.send(_NOTIFIED, NOTIFICATIONS.listed(notifications))


async def timeline_of(connection: AsyncConnection, ticket_id: UUID) -> list[TimelineEntry]:
    """The timeline in the order of versions; empty for an unknown ticket."""
    entries = TIMELINE.all.where(ticket_timeline.c.ticket_id == ticket_id)
    return await TIMELINE.fetch(connection, entries.order_by(ticket_timeline.c.version))


async def notifications_of(connection: AsyncConnection, ticket_id: UUID) -> list[Notification]:
    """The notifications in the order of versions."""
    entries = NOTIFICATIONS.all.where(ticket_notifications.c.ticket_id == ticket_id)
    return await NOTIFICATIONS.fetch(connection, entries.order_by(ticket_notifications.c.version))

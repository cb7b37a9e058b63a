"""The statements of timelines and notifications."""

from __future__ import annotations

from dataclasses import asdict
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from service_processor.domains.tickets.models import (
    Notification,
    TimelineEntry,
    ticket_notifications,
    ticket_timeline,
)


async def record(connection: AsyncConnection, ticket_id: UUID, entry: TimelineEntry) -> None:
    """Add an entry to a timeline; a version that exists stays as it is."""
    row = insert(ticket_timeline).on_conflict_do_nothing()
    await connection.execute(row, {"ticket_id": ticket_id, **asdict(entry)})


async def notify(connection: AsyncConnection, ticket_id: UUID, notification: Notification) -> None:
    """Store a notification, once per version."""
    row = insert(ticket_notifications).on_conflict_do_nothing()
    await connection.execute(row, {"ticket_id": ticket_id, **asdict(notification)})


async def timeline_of(connection: AsyncConnection, ticket_id: UUID) -> list[TimelineEntry]:
    """The timeline in the order of versions; empty for an unknown ticket."""
    columns = (ticket_timeline.c[field] for field in TimelineEntry.__slots__)
    found = select(*columns).where(ticket_timeline.c.ticket_id == ticket_id)
    rows = await connection.execute(found.order_by(ticket_timeline.c.version))
    return [TimelineEntry(*row) for row in rows]


async def notifications_of(connection: AsyncConnection, ticket_id: UUID) -> list[Notification]:
    """The notifications in the order of versions."""
    columns = (ticket_notifications.c[field] for field in Notification.__slots__)
    found = select(*columns).where(ticket_notifications.c.ticket_id == ticket_id)
    rows = await connection.execute(found.order_by(ticket_notifications.c.version))
    return [Notification(*row) for row in rows]

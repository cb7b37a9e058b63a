"""What events of service-orders make us do."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import TicketCommentDeleted, TicketCommented, TicketCreated, TicketStatusChanged
from outbox import Envelope, Handler, UnitOfWork
from service_processor.domains.tickets.service import Desk


def handlers(desk: Desk) -> Mapping[str, Handler]:
    """Handlers by event type."""

    async def on_created(unit: UnitOfWork, event: Envelope) -> None:
        await desk.opened(unit, TicketCreated.of(event))

    async def on_status_changed(unit: UnitOfWork, event: Envelope) -> None:
        await desk.moved(unit, TicketStatusChanged.of(event))

    async def on_commented(unit: UnitOfWork, event: Envelope) -> None:
        await desk.commented(unit, TicketCommented.of(event))

    async def on_comment_deleted(unit: UnitOfWork, event: Envelope) -> None:
        await desk.comment_deleted(unit, TicketCommentDeleted.of(event))

    return {
        TicketCreated.type: on_created,
        TicketStatusChanged.type: on_status_changed,
        TicketCommented.type: on_commented,
        TicketCommentDeleted.type: on_comment_deleted,
    }

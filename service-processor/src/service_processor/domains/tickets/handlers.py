"""Handles the events of tickets from service-orders."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import TicketCommentDeleted, TicketCommented, TicketCreated, TicketStatusChanged
from outbox import Envelope, Handler, UnitOfWork
from service_processor.domains.tickets import service
from service_processor.domains.tickets.service import AutoClose


def handlers(auto_close: AutoClose) -> Mapping[str, Handler]:
    """Handlers by event type."""

    async def on_created(unit: UnitOfWork, event: Envelope) -> None:
        await service.record_opened(unit, TicketCreated.of(event))

    async def on_status_changed(unit: UnitOfWork, event: Envelope) -> None:
        changed = TicketStatusChanged.of(event)
        await service.record_moved(unit, changed)
        await auto_close.reschedule(unit, changed)

    async def on_commented(unit: UnitOfWork, event: Envelope) -> None:
        await service.record_commented(unit, TicketCommented.of(event))

    async def on_comment_deleted(unit: UnitOfWork, event: Envelope) -> None:
        await service.record_comment_deleted(unit, TicketCommentDeleted.of(event))

    return {
        TicketCreated.type: on_created,
        TicketStatusChanged.type: on_status_changed,
        TicketCommented.type: on_commented,
        TicketCommentDeleted.type: on_comment_deleted,
    }

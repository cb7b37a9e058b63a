"""Handles the events of tickets from service-orders."""

from __future__ import annotations

from contracts import events_of
from contracts.tickets import (
    PROCESSOR_TICKETS,
    TicketCommentDeleted,
    TicketCommented,
    TicketCreated,
    TicketStatusChanged,
)
from outbox import Handlers, UnitOfWork
from service_processor.domains.tickets import service
from service_processor.domains.tickets.service import AutoClose


def handlers(auto_close: AutoClose) -> Handlers:
    """Handlers by event class."""
    on = Handlers(PROCESSOR_TICKETS, *events_of(PROCESSOR_TICKETS))

    @on(TicketCreated)
    async def on_created(unit: UnitOfWork, event: TicketCreated) -> None:
        await service.record_opened(unit, event)

    @on(TicketStatusChanged)
    async def on_status_changed(unit: UnitOfWork, changed: TicketStatusChanged) -> None:
        await service.record_moved(unit, changed)
        await auto_close.reschedule(unit, changed)

    @on(TicketCommented)
    async def on_commented(unit: UnitOfWork, event: TicketCommented) -> None:
        await service.record_commented(unit, event)

    @on(TicketCommentDeleted)
    async def on_comment_deleted(unit: UnitOfWork, event: TicketCommentDeleted) -> None:
        await service.record_comment_deleted(unit, event)

    return on

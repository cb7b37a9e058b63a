"""Handles the events of tickets from service-orders."""

from __future__ import annotations

from collections.abc import Sequence

from contracts import events_of
from contracts.tickets import (
    PROCESSOR_TICKETS,
    TicketCommentDeleted,
    TicketCommented,
    TicketCreated,
    TicketStatusChanged,
)
from outbox import Envelope, Handlers, UnitOfWork
from service_processor.domains.tickets import service
from service_processor.domains.tickets.service import AutoClose


def handlers(auto_close: AutoClose) -> Handlers:
    """Handlers by event class."""
    on = Handlers(PROCESSOR_TICKETS, *events_of(PROCESSOR_TICKETS))

    @on.many(TicketCreated)
    async def on_created(
        unit: UnitOfWork, created: Sequence[TicketCreated], causes: Sequence[Envelope]
    ) -> None:
        await service.record(unit, map(service.opened, created, causes))

    @on.many(TicketStatusChanged)
    async def on_status_changed(
        unit: UnitOfWork, changed: Sequence[TicketStatusChanged], causes: Sequence[Envelope]
    ) -> None:
        await service.record(unit, map(service.moved, changed, causes))
        await service.notify(unit, changed)
        await auto_close.reschedule(unit, changed, causes)

    @on.many(TicketCommented)
    async def on_commented(
        unit: UnitOfWork, commented: Sequence[TicketCommented], causes: Sequence[Envelope]
    ) -> None:
        await service.record(unit, map(service.commented, commented, causes))

    @on.many(TicketCommentDeleted)
    async def on_comment_deleted(
        unit: UnitOfWork, deleted: Sequence[TicketCommentDeleted], causes: Sequence[Envelope]
    ) -> None:
        await service.record(unit, map(service.comment_deleted, deleted, causes))

    return on

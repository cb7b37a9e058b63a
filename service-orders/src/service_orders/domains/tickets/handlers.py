"""Handles the events of service-processor about tickets."""

from __future__ import annotations

from collections.abc import Sequence

from contracts import events_of
from contracts.tickets import ORDERS_TICKETS, TicketCloseDue
from outbox import Envelope, Handlers, UnitOfWork
from service_orders.domains.tickets import service

on = Handlers(ORDERS_TICKETS, *events_of(ORDERS_TICKETS))


@on.many(TicketCloseDue)
async def on_close_due(
    unit: UnitOfWork, due: Sequence[TicketCloseDue], causes: Sequence[Envelope]
) -> None:
    """The tickets have been idle for long, as far as service-processor knows."""
    await service.close_unmoved(unit, due, causes)

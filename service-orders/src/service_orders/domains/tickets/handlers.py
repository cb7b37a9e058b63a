"""Handles the events of service-processor about tickets."""

from __future__ import annotations

from contracts import events_of
from contracts.tickets import ORDERS_TICKETS, TicketCloseDue
from outbox import Handlers, UnitOfWork
from service_orders.domains.tickets import service

on = Handlers(ORDERS_TICKETS, *events_of(ORDERS_TICKETS))


@on(TicketCloseDue)
async def on_close_due(unit: UnitOfWork, event: TicketCloseDue) -> None:
    """The ticket has been idle for long, as far as service-processor knows."""
    await service.close_if_unmoved(unit, event)

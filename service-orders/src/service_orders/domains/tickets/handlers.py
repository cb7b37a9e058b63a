"""Handles the events of service-processor about tickets."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import TicketCloseDue
from outbox import Envelope, Handler, UnitOfWork
from service_orders.domains.tickets import service


async def on_close_due(unit: UnitOfWork, event: Envelope) -> None:
    """The ticket has been idle for long, as far as service-processor knows."""
    await service.close_if_unmoved(unit, TicketCloseDue.of(event))


HANDLERS: Mapping[str, Handler] = {TicketCloseDue.type: on_close_due}

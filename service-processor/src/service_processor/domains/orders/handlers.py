"""Handles the events of orders from service-orders."""

from __future__ import annotations

from collections.abc import Sequence

from contracts import events_of
from contracts.orders import PROCESSOR_ORDERS, OrderCancelled, OrderCreated
from outbox import Envelope, Handlers, UnitOfWork
from service_processor.domains.orders.service import Fulfilment


def handlers(fulfilment: Fulfilment) -> Handlers:
    """Handlers by event class."""
    on = Handlers(PROCESSOR_ORDERS, *events_of(PROCESSOR_ORDERS))

    @on.many(OrderCreated)
    async def on_created(
        unit: UnitOfWork, created: Sequence[OrderCreated], causes: Sequence[Envelope]
    ) -> None:
        await fulfilment.fulfil(unit, created, causes)

    @on.many(OrderCancelled)
    async def on_cancelled(unit: UnitOfWork, cancelled: Sequence[OrderCancelled]) -> None:
        await fulfilment.undo(unit, cancelled)

    return on

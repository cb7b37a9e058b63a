"""Handles the events of orders from service-orders."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import OrderCancelled, OrderCreated
from outbox import Envelope, Handler, UnitOfWork
from service_processor.domains.orders.service import Fulfilment


def handlers(fulfilment: Fulfilment) -> Mapping[str, Handler]:
    """Handlers by event type."""

    async def on_created(unit: UnitOfWork, event: Envelope) -> None:
        await fulfilment.fulfil(unit, OrderCreated.of(event))

    async def on_cancelled(unit: UnitOfWork, event: Envelope) -> None:
        await fulfilment.undo(unit, OrderCancelled.of(event))

    return {OrderCreated.type: on_created, OrderCancelled.type: on_cancelled}

"""Handles the answers of service-processor about orders."""

from __future__ import annotations

from collections.abc import Sequence

from contracts import events_of
from contracts.orders import ORDERS_ORDERS, OrderProcessed, OrderProcessingStarted
from outbox import Envelope, Handlers, UnitOfWork
from service_orders.domains.orders.service import CHANGES
from service_orders.domains.orders.states import OrderStatus
from servicekit.service.batched_changes import Step

on = Handlers(ORDERS_ORDERS, *events_of(ORDERS_ORDERS))


@on.many(OrderProcessingStarted)
async def on_processing_started(
    unit: UnitOfWork, started: Sequence[OrderProcessingStarted], causes: Sequence[Envelope]
) -> None:
    """The orders are being processed."""
    await CHANGES.follow_all(
        unit, causes, [Step(event.order_id, OrderStatus.IN_PROGRESS) for event in started]
    )


@on.many(OrderProcessed)
async def on_processed(
    unit: UnitOfWork, processed: Sequence[OrderProcessed], causes: Sequence[Envelope]
) -> None:
    """The orders are settled, unless they were cancelled before."""
    await CHANGES.follow_all(
        unit,
        causes,
        [Step(event.order_id, OrderStatus(event.outcome), event.reason) for event in processed],
    )

"""Handles the answers of service-processor about orders."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import OrderProcessed, OrderProcessingStarted
from outbox import Envelope, Handler, UnitOfWork
from service_orders.domains.orders.service import CHANGES
from service_orders.domains.orders.states import OrderStatus


async def on_processing_started(unit: UnitOfWork, event: Envelope) -> None:
    """The order is being processed."""
    started = OrderProcessingStarted.of(event)
    await CHANGES.follow(unit, started.order_id, OrderStatus.IN_PROGRESS)


async def on_processed(unit: UnitOfWork, event: Envelope) -> None:
    """The order is settled, unless it was cancelled before."""
    processed = OrderProcessed.of(event)
    outcome = OrderStatus(processed.outcome)
    await CHANGES.follow(unit, processed.order_id, outcome, reason=processed.reason)


HANDLERS: Mapping[str, Handler] = {
    OrderProcessingStarted.type: on_processing_started,
    OrderProcessed.type: on_processed,
}

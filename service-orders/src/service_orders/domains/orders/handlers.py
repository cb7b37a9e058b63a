"""Handles the answers of service-processor about orders."""

from __future__ import annotations

from contracts import events_of
from contracts.orders import ORDERS_ORDERS, OrderProcessed, OrderProcessingStarted
from outbox import Handlers, UnitOfWork
from service_orders.domains.orders.service import CHANGES
from service_orders.domains.orders.states import OrderStatus

on = Handlers(ORDERS_ORDERS, *events_of(ORDERS_ORDERS))


@on(OrderProcessingStarted)
async def on_processing_started(unit: UnitOfWork, started: OrderProcessingStarted) -> None:
    """The order is being processed."""
    await CHANGES.follow(unit, started.order_id, OrderStatus.IN_PROGRESS)


@on(OrderProcessed)
async def on_processed(unit: UnitOfWork, processed: OrderProcessed) -> None:
    """The order is settled, unless it was cancelled before."""
    outcome = OrderStatus(processed.outcome)
    await CHANGES.follow(unit, processed.order_id, outcome, reason=processed.reason)

"""Handles the events of payments from service-processor."""

from __future__ import annotations

from contracts import events_of
from contracts.rentals import (
    ORDERS_RENTALS,
    PaymentClearDeclined,
    PaymentCleared,
    PaymentDeclined,
    PaymentHeld,
    PaymentReleased,
)
from outbox import Handlers, UnitOfWork
from service_orders.domains.rentals import payments
from service_orders.domains.rentals.states import PaymentStatus

on = Handlers(ORDERS_RENTALS, *events_of(ORDERS_RENTALS))


@on(PaymentHeld)
async def on_held(unit: UnitOfWork, held: PaymentHeld) -> None:
    """The ride begins."""
    await payments.follow(unit, held.rental_id, PaymentStatus.HELD)


@on(PaymentDeclined)
async def on_declined(unit: UnitOfWork, declined: PaymentDeclined) -> None:
    """The rental is cancelled, and the scooter is free again."""
    await payments.follow(unit, declined.rental_id, PaymentStatus.DECLINED)


@on(PaymentCleared)
async def on_cleared(unit: UnitOfWork, cleared: PaymentCleared) -> None:
    """The ride is paid for."""
    await payments.follow(unit, cleared.rental_id, PaymentStatus.CLEARED)


@on(PaymentClearDeclined)
async def on_clear_declined(unit: UnitOfWork, declined: PaymentClearDeclined) -> None:
    """The user owes us the price of the ride."""
    await payments.follow(unit, declined.rental_id, PaymentStatus.CLEAR_DECLINED)


@on(PaymentReleased)
async def on_released(unit: UnitOfWork, event: PaymentReleased) -> None:
    """The provider has given the deposit back."""
    await payments.released(unit, event.rental_id)

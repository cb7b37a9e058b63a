"""Handles the events of payments from service-processor."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import (
    PaymentClearDeclined,
    PaymentCleared,
    PaymentDeclined,
    PaymentHeld,
    PaymentReleased,
)
from outbox import Envelope, Handler, UnitOfWork
from service_orders.domains.rentals import payments
from service_orders.domains.rentals.states import PaymentStatus


async def on_held(unit: UnitOfWork, event: Envelope) -> None:
    """The ride begins."""
    held = PaymentHeld.parse(event.payload)
    await payments.follow(unit, held.rental_id, PaymentStatus.HELD)


async def on_declined(unit: UnitOfWork, event: Envelope) -> None:
    """The rental is cancelled, and the scooter is free again."""
    declined = PaymentDeclined.parse(event.payload)
    await payments.follow(unit, declined.rental_id, PaymentStatus.DECLINED)


async def on_cleared(unit: UnitOfWork, event: Envelope) -> None:
    """The ride is paid for."""
    cleared = PaymentCleared.parse(event.payload)
    await payments.follow(unit, cleared.rental_id, PaymentStatus.CLEARED)


async def on_clear_declined(unit: UnitOfWork, event: Envelope) -> None:
    """The user owes us the price of the ride."""
    declined = PaymentClearDeclined.parse(event.payload)
    await payments.follow(unit, declined.rental_id, PaymentStatus.CLEAR_DECLINED)


async def on_released(unit: UnitOfWork, event: Envelope) -> None:
    """The provider has given the deposit back."""
    await payments.released(unit, PaymentReleased.parse(event.payload).rental_id)


HANDLERS: Mapping[str, Handler] = {
    PaymentHeld.type: on_held,
    PaymentDeclined.type: on_declined,
    PaymentCleared.type: on_cleared,
    PaymentClearDeclined.type: on_clear_declined,
    PaymentReleased.type: on_released,
}

"""Applies the answers of service-processor about the payment to a rental.

Each answer leads to one status. An answer that comes again, or too late, is a line in the history
and changes nothing else (decision 0013).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from outbox import UnitOfWork
from service_orders.domains.rentals import metrics, repository, service
from service_orders.domains.rentals.models import Rental
from service_orders.domains.rentals.states import PaymentStatus, RentalStatus


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The status that an answer leads to, and its reason."""

    status: RentalStatus
    reason: str | None = None


OUTCOMES: Mapping[PaymentStatus, _Outcome] = {
    PaymentStatus.HELD: _Outcome(RentalStatus.ACTIVE),
    PaymentStatus.DECLINED: _Outcome(RentalStatus.CANCELLED, "the deposit was declined"),
    PaymentStatus.CLEARED: _Outcome(RentalStatus.FINISHED),
    PaymentStatus.CLEAR_DECLINED: _Outcome(RentalStatus.PAYMENT_FAILED, "the payment was declined"),
}


async def follow(unit: UnitOfWork, rental_id: UUID, payment: PaymentStatus) -> None:
    """Move a rental where an answer about the payment leads. Raises `RentalNotFound`."""
    outcome, now = OUTCOMES[payment], datetime.now(UTC)
    values: dict[str, object] = {"payment_status": payment.value}
    if payment is PaymentStatus.HELD:
        values["active_at"] = now
    rental = await service.CHANGES.follow(
        unit,
        rental_id,
        outcome.status,
        at=now,
        reason=outcome.reason,
        outcome=payment,
        **values,
    )
    if rental is not None:
        metrics.RENTALS.labels(rental.status.value).inc()
        await _update_user(unit, rental, payment)


async def released(unit: UnitOfWork, rental_id: UUID) -> None:
    """Note that the deposit was given back; the status stays. Raises `RentalNotFound`."""
    rental = await service.CHANGES.store.lock(unit.connection, rental_id)
    released = PaymentStatus.RELEASED.value
    await service.CHANGES.note(unit, rental, "the deposit was given back", payment_status=released)


async def _update_user(unit: UnitOfWork, rental: Rental, payment: PaymentStatus) -> None:
    """Free the scooter of a declined rental, and add an ended one to the summary of its user."""
    if payment is PaymentStatus.HELD:
        return
    if payment is PaymentStatus.DECLINED:
        await repository.free_scooter(unit.connection, rental)
    await repository.summarise(
        unit.connection,
        rental.user_id,
        payment,
        rides=0 if payment is PaymentStatus.DECLINED else 1,
        debt=rental.total_amount if payment is PaymentStatus.CLEAR_DECLINED else 0,
    )

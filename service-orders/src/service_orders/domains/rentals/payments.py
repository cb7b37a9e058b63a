"""What service-processor's answers about the money do to a rental.

Each answer leads to one status. One that comes again, or too late, is a line in the history and
changes nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from outbox import UnitOfWork
from service_orders.domains.rentals import repository, service, states
from service_orders.domains.rentals.models import Rental
from service_orders.domains.rentals.states import PaymentStatus, RentalStatus


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Where an answer leads, and why."""

    status: RentalStatus
    reason: str | None = None


OUTCOMES: Mapping[PaymentStatus, _Outcome] = {
    PaymentStatus.HELD: _Outcome(RentalStatus.ACTIVE),
    PaymentStatus.DECLINED: _Outcome(RentalStatus.CANCELLED, "the deposit was declined"),
    PaymentStatus.CLEARED: _Outcome(RentalStatus.FINISHED),
    PaymentStatus.CLEAR_DECLINED: _Outcome(RentalStatus.PAYMENT_FAILED, "the payment was declined"),
}


async def follow(unit: UnitOfWork, rental_id: UUID, payment: PaymentStatus) -> None:
    """Go where an answer about the money leads. Raises `RentalNotFound`."""
    rental, at = await service.locked(unit, rental_id), datetime.now(UTC)
    outcome = OUTCOMES[payment]
    if not states.may_move(rental.status, outcome.status):
        ignored = f"ignored {payment}: the rental was {rental.status} already"
        await service.note(unit, rental, ignored, at)
        return
    values: dict[str, object] = {"reason": outcome.reason}
    if payment is PaymentStatus.HELD:
        values["active_at"] = at
    await service.move(unit, rental, outcome.status, payment, at, **values)
    await _settle(unit, rental, payment)


async def released(unit: UnitOfWork, rental_id: UUID) -> None:
    """The deposit was given back; the status stands. Raises `RentalNotFound`."""
    rental, at = await service.locked(unit, rental_id), datetime.now(UTC)
    given_back = {"payment_status": PaymentStatus.RELEASED.value}
    await service.note(unit, rental, "the deposit was given back", at, **given_back)


async def _settle(unit: UnitOfWork, rental: Rental, payment: PaymentStatus) -> None:
    """What an end means for the scooter, and for what is known of the user."""
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

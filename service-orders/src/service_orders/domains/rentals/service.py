"""What can be done with rentals. The caller began the transaction, and commits it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from contracts import RentalFinished, RentalStarted
from outbox import UnitOfWork
from service_orders.domains.rentals import metrics, repository, states
from service_orders.domains.rentals.errors import (
    OfferUsed,
    RentalNotActive,
    RentalNotFound,
    ScooterInUse,
)
from service_orders.domains.rentals.models import HistoryEntry, Rental, started_at
from service_orders.domains.rentals.offers import Offer
from service_orders.domains.rentals.states import PaymentStatus, RentalStatus
from service_orders.waiting import SETTLED


def key_of(rental_id: UUID) -> str:
    """What those who wait for a rental listen for."""
    return f"rental/{rental_id}"


async def start(unit: UnitOfWork, offer: Offer) -> Rental:
    """Begin a rental; the ride begins once the deposit is held.

    Raises `OfferUsed` or `ScooterInUse`.
    """
    rental = _of(offer)
    is_new, is_free = await repository.claim(unit.connection, rental.id, offer)
    if not is_new:
        raise OfferUsed
    if not is_free:
        raise ScooterInUse(offer.scooter_id)
    await repository.start(unit, rental, _started(rental))
    metrics.RENTALS.labels(rental.status.value).inc()
    return rental


async def finish(unit: UnitOfWork, rental_id: UUID) -> Rental:
    """End the ride, free the scooter, have the total taken. Once; later calls find it ended.

    Raises `RentalNotFound` or `RentalNotActive`.
    """
    rental = await locked(unit, rental_id)
    if rental.finished_at is not None:
        return rental
    if rental.status is not RentalStatus.ACTIVE:
        raise RentalNotActive(rental.status.value)
    now = datetime.now(UTC)
    total = rental.cost_at(now)
    ended = {"finished_at": now, "total_amount": total}
    await move(unit, rental, RentalStatus.FINISHING, PaymentStatus.CLEARING, now, **ended)
    await repository.free_scooter(unit.connection, rental)
    await unit.emit(RentalFinished(rental_id=rental_id, total_amount=total, finished_at=now))
    return await locked(unit, rental_id)


async def locked(unit: UnitOfWork, rental_id: UUID) -> Rental:
    """A rental that nobody else changes until this transaction ends. Raises `RentalNotFound`."""
    rental = await repository.locked(unit.connection, rental_id)
    if rental is None:
        raise RentalNotFound(rental_id)
    return rental


async def move(
    unit: UnitOfWork,
    rental: Rental,
    status: RentalStatus,
    payment: PaymentStatus,
    at: datetime,
    **values: object,
) -> None:
    """Go to a status that is allowed; whoever waits for a settled one is told."""
    reason = values.get("reason")
    changed = {"status": status.value, "payment_status": payment.value, **values}
    entry = HistoryEntry(status.value, at, str(reason) if reason else None, _cause(unit))
    await repository.change(unit.connection, rental, entry, changed)
    metrics.RENTALS.labels(status.value).inc()
    if states.is_settled(status):
        unit.announce(SETTLED, key_of(rental.id))


async def note(
    unit: UnitOfWork, rental: Rental, reason: str, at: datetime, **values: object
) -> None:
    """A line in the history under the status that stands."""
    entry = HistoryEntry(rental.status.value, at, reason, _cause(unit))
    await repository.change(unit.connection, rental, entry, values)


def _cause(unit: UnitOfWork) -> UUID | None:
    return unit.cause.id if unit.cause else None


def _of(offer: Offer) -> Rental:
    rental_id = uuid7()
    begin = started_at(rental_id)
    assert begin is not None
    return Rental(
        id=rental_id,
        started_at=begin,
        offer_id=offer.id,
        user_id=offer.user_id,
        scooter_id=offer.scooter_id,
        zone_id=offer.zone_id,
        price_per_minute=offer.price.per_minute,
        price_unlock=offer.price.unlock,
        deposit=offer.price.deposit,
        free_ride_seconds=offer.price.free_ride_seconds,
        status=RentalStatus.STARTING,
        payment_status=PaymentStatus.HOLDING,
        reason=None,
        active_at=None,
        finished_at=None,
        total_amount=0,
    )


def _started(rental: Rental) -> RentalStarted:
    return RentalStarted(
        rental_id=rental.id,
        user_id=rental.user_id,
        scooter_id=rental.scooter_id,
        deposit=rental.deposit,
        started_at=rental.started_at,
    )

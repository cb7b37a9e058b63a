"""Use cases of rentals. The caller begins the transaction and commits it."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from uuid_utils.compat import uuid7

from contracts.rentals import RentalFinished, RentalStarted
from outbox import UnitOfWork
from service_orders.domains.rentals import metrics, repository
from service_orders.domains.rentals.errors import (
    OfferUsed,
    RentalNotActive,
    ScooterInUse,
)
from service_orders.domains.rentals.models import Rental, started_at
from service_orders.domains.rentals.offers import Offer
from service_orders.domains.rentals.states import LIFECYCLE, PaymentStatus, RentalStatus
from service_orders.waiting import SETTLED
from servicekit.service.changes import Changes

CHANGES = Changes(repository.RentalStore(), LIFECYCLE, SETTLED)


async def start(unit: UnitOfWork, offer: Offer) -> Rental:
    """Start a rental; the ride begins when the deposit is held.

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
    """End the ride, free the scooter, and ask for the payment. Later calls find the ride ended.

    Raises `RentalNotFound` or `RentalNotActive`.
    """
    rental = await CHANGES.store.lock(unit.connection, rental_id)
    if rental.finished_at is not None:
        return rental
    if rental.status is not RentalStatus.ACTIVE:
        raise RentalNotActive(rental.status.value)
    now = datetime.now(UTC)
    total = rental.cost_at(now)
    ended = await CHANGES.move_locked(
        unit,
        rental,
        RentalStatus.FINISHING,
        at=now,
        payment_status=PaymentStatus.CLEARING.value,
        finished_at=now,
        total_amount=total,
    )
    metrics.RENTALS.labels(ended.status.value).inc()
    await repository.free_scooter(unit.connection, rental)
    await unit.emit(RentalFinished(rental_id=rental_id, total_amount=total, finished_at=now))
    return ended


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

"""The events of rentals and their payments. Amounts are whole units.

A rental and its payment are two aggregates with one id: service-orders publishes the events of the
rental, and service-processor those of the payment.
"""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from contracts.base import SAMPLE_TIME, Contract, Name
from contracts.exchanges import ORDERS, PROCESSOR


class _RentalEvent(Contract):
    source: ClassVar[str] = "service-orders"
    aggregate_type: ClassVar[str] = "rental"

    rental_id: UUID

    @property
    def aggregate_id(self) -> str:
        return str(self.rental_id)


class RentalStarted(_RentalEvent):
    """A user accepted an offer. The ride begins when the deposit, which may be 0, is held."""

    type: ClassVar[str] = "rental.started"

    user_id: Name
    scooter_id: Name
    deposit: int
    started_at: datetime


class RentalFinished(_RentalEvent):
    """The ride is over; the total, which may be 0, has to be taken."""

    type: ClassVar[str] = "rental.finished"

    total_amount: int
    finished_at: datetime


class _PaymentEvent(Contract):
    source: ClassVar[str] = "service-processor"
    aggregate_type: ClassVar[str] = "payment"  # see decision 1305

    rental_id: UUID

    @property
    def aggregate_id(self) -> str:
        return str(self.rental_id)


class PaymentHeld(_PaymentEvent):
    """The deposit is held; an amount of 0 needed no call."""

    type: ClassVar[str] = "payment.held"

    amount: int
    held_at: datetime


class PaymentDeclined(_PaymentEvent):
    """The provider declined to hold the deposit; no money was moved."""

    type: ClassVar[str] = "payment.declined"

    amount: int
    declined_at: datetime


class PaymentCleared(_PaymentEvent):
    """The total was taken; an amount of 0 needed no call."""

    type: ClassVar[str] = "payment.cleared"

    amount: int
    cleared_at: datetime


class PaymentClearDeclined(_PaymentEvent):
    """The provider declined to take the total; the user owes it."""

    type: ClassVar[str] = "payment.clear_declined"

    amount: int
    declined_at: datetime


class PaymentReleased(_PaymentEvent):
    """The deposit was given back, because nothing was taken."""

    type: ClassVar[str] = "payment.released"

    amount: int
    released_at: datetime


PROCESSOR_RENTALS = ORDERS.to("processor.rentals", "rental")
ORDERS_RENTALS = PROCESSOR.to("orders.rentals", "payment")

_ID = UUID("01900000-0000-7000-8000-000000000004")
SAMPLES = (
    RentalStarted(
        rental_id=_ID, user_id="user-1", scooter_id="scooter-1", deposit=300, started_at=SAMPLE_TIME
    ),
    RentalFinished(rental_id=_ID, total_amount=69, finished_at=SAMPLE_TIME),
    PaymentHeld(rental_id=_ID, amount=300, held_at=SAMPLE_TIME),
    PaymentDeclined(rental_id=_ID, amount=300, declined_at=SAMPLE_TIME),
    PaymentCleared(rental_id=_ID, amount=69, cleared_at=SAMPLE_TIME),
    PaymentClearDeclined(rental_id=_ID, amount=69, declined_at=SAMPLE_TIME),
    PaymentReleased(rental_id=_ID, amount=300, released_at=SAMPLE_TIME),
)

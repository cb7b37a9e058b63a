"""The lifecycle of a rental, and the state of its payment."""

from __future__ import annotations

from enum import StrEnum

from servicekit.service.lifecycle import Lifecycle


class RentalStatus(StrEnum):
    STARTING = "STARTING"
    ACTIVE = "ACTIVE"
    FINISHING = "FINISHING"
    FINISHED = "FINISHED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    CANCELLED = "CANCELLED"


class PaymentStatus(StrEnum):
    """The state of the payment, as far as service-processor has told."""

    HOLDING = "HOLDING"
    HELD = "HELD"
    DECLINED = "DECLINED"
    CLEARING = "CLEARING"
    CLEARED = "CLEARED"
    CLEAR_DECLINED = "CLEAR_DECLINED"
    RELEASED = "RELEASED"


LIFECYCLE = Lifecycle(
    "rental",
    {
        RentalStatus.STARTING: {RentalStatus.ACTIVE, RentalStatus.CANCELLED},
        RentalStatus.ACTIVE: {RentalStatus.FINISHING},
        RentalStatus.FINISHING: {RentalStatus.FINISHED, RentalStatus.PAYMENT_FAILED},
        RentalStatus.FINISHED: set(),
        RentalStatus.PAYMENT_FAILED: set(),
        RentalStatus.CANCELLED: set(),
    },
    # Settled: no answer about the payment is awaited.
    settled=set(RentalStatus) - {RentalStatus.STARTING, RentalStatus.FINISHING},
)

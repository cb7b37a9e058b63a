"""The life of a rental: a table and one function."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class RentalStatus(StrEnum):
    STARTING = "STARTING"
    ACTIVE = "ACTIVE"
    FINISHING = "FINISHING"
    FINISHED = "FINISHED"
    PAYMENT_FAILED = "PAYMENT_FAILED"
    CANCELLED = "CANCELLED"


class PaymentStatus(StrEnum):
    """Where the money stands, as far as service-processor has said."""

    HOLDING = "HOLDING"
    HELD = "HELD"
    DECLINED = "DECLINED"
    CLEARING = "CLEARING"
    CLEARED = "CLEARED"
    CLEAR_DECLINED = "CLEAR_DECLINED"
    RELEASED = "RELEASED"


ALLOWED: Mapping[RentalStatus, frozenset[RentalStatus]] = {
    RentalStatus.STARTING: frozenset({RentalStatus.ACTIVE, RentalStatus.CANCELLED}),
    RentalStatus.ACTIVE: frozenset({RentalStatus.FINISHING}),
    RentalStatus.FINISHING: frozenset({RentalStatus.FINISHED, RentalStatus.PAYMENT_FAILED}),
    RentalStatus.FINISHED: frozenset(),
    RentalStatus.PAYMENT_FAILED: frozenset(),
    RentalStatus.CANCELLED: frozenset(),
}
TERMINAL = frozenset(status for status, targets in ALLOWED.items() if not targets)
_IN_BETWEEN = frozenset({RentalStatus.STARTING, RentalStatus.FINISHING})


def may_move(current: RentalStatus, target: RentalStatus) -> bool:
    """Whether a rental may go from one status to the other."""
    return target in ALLOWED[current]


def is_settled(status: RentalStatus) -> bool:
    """Whether nothing is awaited from the payment provider."""
    return status not in _IN_BETWEEN

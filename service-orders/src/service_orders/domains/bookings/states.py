"""The life of a booking: a table and one function."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class BookingStatus(StrEnum):
    CREATED = "CREATED"
    CHECKING_AVAILABILITY = "CHECKING_AVAILABILITY"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


ALLOWED: Mapping[BookingStatus, frozenset[BookingStatus]] = {
    BookingStatus.CREATED: frozenset(
        {BookingStatus.CHECKING_AVAILABILITY, BookingStatus.CANCELLED}
    ),
    BookingStatus.CHECKING_AVAILABILITY: frozenset(
        {BookingStatus.CONFIRMED, BookingStatus.REJECTED, BookingStatus.CANCELLED}
    ),
    BookingStatus.CONFIRMED: frozenset({BookingStatus.CANCELLED}),
    BookingStatus.REJECTED: frozenset(),
    BookingStatus.CANCELLED: frozenset(),
}
SETTLED = frozenset({BookingStatus.CONFIRMED, BookingStatus.REJECTED, BookingStatus.CANCELLED})


class IllegalTransition(ValueError):
    """A booking is asked to go where its status does not lead."""

    def __init__(self, current: BookingStatus, target: BookingStatus) -> None:
        self.current, self.target = current, target
        self.allowed = sorted(ALLOWED[current])
        super().__init__(f"A booking that is {current} cannot become {target}.")


def move(current: BookingStatus, target: BookingStatus) -> BookingStatus:
    """The new status. Raises `IllegalTransition`."""
    if not may_move(current, target):
        raise IllegalTransition(current, target)
    return target


def may_move(current: BookingStatus, target: BookingStatus) -> bool:
    """Whether a booking may go from one status to the other."""
    return target in ALLOWED[current]


def is_settled(status: BookingStatus) -> bool:
    """Whether the question was answered; only a cancellation can follow."""
    return status in SETTLED

"""The lifecycle of a booking. A confirmed one is settled, and can still be cancelled."""

from __future__ import annotations

from enum import StrEnum

from servicekit.service.lifecycle import Lifecycle


class BookingStatus(StrEnum):
    CREATED = "CREATED"
    CHECKING_AVAILABILITY = "CHECKING_AVAILABILITY"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"


LIFECYCLE = Lifecycle(
    "booking",
    {
        BookingStatus.CREATED: {BookingStatus.CHECKING_AVAILABILITY, BookingStatus.CANCELLED},
        BookingStatus.CHECKING_AVAILABILITY: {
            BookingStatus.CONFIRMED,
            BookingStatus.REJECTED,
            BookingStatus.CANCELLED,
        },
        BookingStatus.CONFIRMED: {BookingStatus.CANCELLED},
        BookingStatus.REJECTED: set(),
        BookingStatus.CANCELLED: set(),
    },
    settled={BookingStatus.CONFIRMED, BookingStatus.REJECTED, BookingStatus.CANCELLED},
)

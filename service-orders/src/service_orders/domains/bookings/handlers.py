"""Handles the answers of service-processor about bookings."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import BookingChecking, BookingConfirmed, BookingRejected
from outbox import Envelope, Handler, UnitOfWork
from service_orders.domains.bookings.service import CHANGES
from service_orders.domains.bookings.states import BookingStatus


async def on_checking(unit: UnitOfWork, event: Envelope) -> None:
    """The processor looks for a table."""
    checking = BookingChecking.of(event)
    await CHANGES.follow(unit, checking.booking_id, BookingStatus.CHECKING_AVAILABILITY)


async def on_confirmed(unit: UnitOfWork, event: Envelope) -> None:
    """A table is allocated. If the booking was cancelled before, the processor releases it."""
    confirmed = BookingConfirmed.of(event)
    await CHANGES.follow(
        unit, confirmed.booking_id, BookingStatus.CONFIRMED, table_id=confirmed.table_id
    )


async def on_rejected(unit: UnitOfWork, event: Envelope) -> None:
    """There is no table for the booking."""
    rejected = BookingRejected.of(event)
    await CHANGES.follow(unit, rejected.booking_id, BookingStatus.REJECTED, reason=rejected.reason)


HANDLERS: Mapping[str, Handler] = {
    BookingChecking.type: on_checking,
    BookingConfirmed.type: on_confirmed,
    BookingRejected.type: on_rejected,
}

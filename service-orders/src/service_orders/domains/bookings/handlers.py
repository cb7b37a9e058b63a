"""What service-processor's answers do to a booking."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import BookingChecking, BookingConfirmed, BookingRejected
from outbox import Envelope, Handler, UnitOfWork
from service_orders.domains.bookings import service
from service_orders.domains.bookings.states import BookingStatus


async def on_checking(unit: UnitOfWork, event: Envelope) -> None:
    """A table is being looked for."""
    checking = BookingChecking.of(event)
    await service.follow(unit, checking.booking_id, BookingStatus.CHECKING_AVAILABILITY)


async def on_confirmed(unit: UnitOfWork, event: Envelope) -> None:
    """A table is held, unless the booking was cancelled before: then it is on its way back."""
    confirmed = BookingConfirmed.of(event)
    await service.follow(
        unit, confirmed.booking_id, BookingStatus.CONFIRMED, table_id=confirmed.table_id
    )


async def on_rejected(unit: UnitOfWork, event: Envelope) -> None:
    """There is no table."""
    rejected = BookingRejected.of(event)
    await service.follow(unit, rejected.booking_id, BookingStatus.REJECTED, reason=rejected.reason)


HANDLERS: Mapping[str, Handler] = {
    BookingChecking.type: on_checking,
    BookingConfirmed.type: on_confirmed,
    BookingRejected.type: on_rejected,
}

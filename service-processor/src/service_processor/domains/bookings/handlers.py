"""What service-orders says about bookings, put to work."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import BookingCancelled, BookingCreated
from outbox import Envelope, Handler, UnitOfWork
from service_processor.domains.bookings import service


async def on_created(unit: UnitOfWork, event: Envelope) -> None:
    """Look for a table."""
    await service.decide(unit, BookingCreated.of(event))


async def on_cancelled(unit: UnitOfWork, event: Envelope) -> None:
    """Free the table."""
    await service.free(unit, BookingCancelled.of(event))


HANDLERS: Mapping[str, Handler] = {
    BookingCreated.type: on_created,
    BookingCancelled.type: on_cancelled,
}

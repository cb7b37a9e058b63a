"""Handles the events of bookings from service-orders."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import BookingCancelled, BookingCreated
from outbox import Envelope, Handler, UnitOfWork
from service_processor.domains.bookings import service


async def on_created(unit: UnitOfWork, event: Envelope) -> None:
    """Look for a table and answer."""
    await service.decide(unit, BookingCreated.of(event))


async def on_cancelled(unit: UnitOfWork, event: Envelope) -> None:
    """Release the table."""
    await service.release(unit, BookingCancelled.of(event))


HANDLERS: Mapping[str, Handler] = {
    BookingCreated.type: on_created,
    BookingCancelled.type: on_cancelled,
}

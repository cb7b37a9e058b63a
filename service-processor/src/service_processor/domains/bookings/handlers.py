"""Handles the events of bookings from service-orders."""

from __future__ import annotations

from collections.abc import Sequence

from contracts import events_of
from contracts.bookings import PROCESSOR_BOOKINGS, BookingCancelled, BookingCreated
from outbox import Envelope, Handlers, UnitOfWork
from service_processor.domains.bookings import service

on = Handlers(PROCESSOR_BOOKINGS, *events_of(PROCESSOR_BOOKINGS))


@on.many(BookingCreated)
async def on_created(
    unit: UnitOfWork, created: Sequence[BookingCreated], causes: Sequence[Envelope]
) -> None:
    """Look for tables and answer."""
    await service.decide(unit, created, causes)


@on.many(BookingCancelled)
async def on_cancelled(unit: UnitOfWork, cancelled: Sequence[BookingCancelled]) -> None:
    """Release the tables."""
    await service.release(unit, cancelled)

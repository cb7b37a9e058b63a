"""Handles the events of bookings from service-orders."""

from __future__ import annotations

from contracts import events_of
from contracts.bookings import PROCESSOR_BOOKINGS, BookingCancelled, BookingCreated
from outbox import Handlers, UnitOfWork
from service_processor.domains.bookings import service

on = Handlers(PROCESSOR_BOOKINGS, *events_of(PROCESSOR_BOOKINGS))


@on(BookingCreated)
async def on_created(unit: UnitOfWork, event: BookingCreated) -> None:
    """Look for a table and answer."""
    await service.decide(unit, event)


@on(BookingCancelled)
async def on_cancelled(unit: UnitOfWork, event: BookingCancelled) -> None:
    """Release the table."""
    await service.release(unit, event)

"""Handles the events of rentals from service-orders."""

from __future__ import annotations

from contracts import events_of
from contracts.rentals import PROCESSOR_RENTALS, RentalFinished, RentalStarted
from outbox import Handlers, UnitOfWork
from service_processor.domains.payments import service

on = Handlers(PROCESSOR_RENTALS, *events_of(PROCESSOR_RENTALS))


@on(RentalStarted)
async def on_started(unit: UnitOfWork, event: RentalStarted) -> None:
    """Ask the provider to hold the deposit."""
    await service.started(unit, event)


@on(RentalFinished)
async def on_finished(unit: UnitOfWork, event: RentalFinished) -> None:
    """Ask the provider to take the total."""
    await service.finished(unit, event)

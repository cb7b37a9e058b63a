"""Handles the events of rentals from service-orders."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import RentalFinished, RentalStarted
from outbox import Envelope, Handler, UnitOfWork
from service_processor.domains.payments import service


async def on_started(unit: UnitOfWork, event: Envelope) -> None:
    """Ask the provider to hold the deposit."""
    await service.started(unit, RentalStarted.parse(event.payload))


async def on_finished(unit: UnitOfWork, event: Envelope) -> None:
    """Ask the provider to take the total."""
    await service.finished(unit, RentalFinished.parse(event.payload))


HANDLERS: Mapping[str, Handler] = {
    RentalStarted.type: on_started,
    RentalFinished.type: on_finished,
}

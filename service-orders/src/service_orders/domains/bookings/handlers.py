"""Handles the answers of service-processor about bookings."""

from __future__ import annotations

from collections.abc import Sequence

from contracts import events_of
from contracts.bookings import ORDERS_BOOKINGS, BookingChecking, BookingConfirmed, BookingRejected
from outbox import Envelope, Handlers, UnitOfWork
from service_orders.domains.bookings.service import CHANGES
from service_orders.domains.bookings.states import BookingStatus
from servicekit.service.batched_changes import Step

on = Handlers(ORDERS_BOOKINGS, *events_of(ORDERS_BOOKINGS))


@on.many(BookingChecking)
async def on_checking(
    unit: UnitOfWork, checking: Sequence[BookingChecking], causes: Sequence[Envelope]
) -> None:
    """The processor looks for tables."""
    await CHANGES.follow_all(
        unit,
        causes,
        [Step(event.booking_id, BookingStatus.CHECKING_AVAILABILITY) for event in checking],
    )


@on.many(BookingConfirmed)
async def on_confirmed(
    unit: UnitOfWork, confirmed: Sequence[BookingConfirmed], causes: Sequence[Envelope]
) -> None:
    """Tables are allocated. If a booking was cancelled before, the processor releases its table."""
    await CHANGES.follow_all(
        unit,
        causes,
        [
            Step(event.booking_id, BookingStatus.CONFIRMED, values={"table_id": event.table_id})
            for event in confirmed
        ],
    )


@on.many(BookingRejected)
async def on_rejected(
    unit: UnitOfWork, rejected: Sequence[BookingRejected], causes: Sequence[Envelope]
) -> None:
    """There is no table for the bookings."""
    await CHANGES.follow_all(
        unit,
        causes,
        [Step(event.booking_id, BookingStatus.REJECTED, event.reason) for event in rejected],
    )

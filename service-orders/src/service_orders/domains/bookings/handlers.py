"""Handles the answers of service-processor about bookings."""

from __future__ import annotations

from contracts import events_of
from contracts.bookings import ORDERS_BOOKINGS, BookingChecking, BookingConfirmed, BookingRejected
from outbox import Handlers, UnitOfWork
from service_orders.domains.bookings.service import CHANGES
from service_orders.domains.bookings.states import BookingStatus

on = Handlers(ORDERS_BOOKINGS, *events_of(ORDERS_BOOKINGS))


@on(BookingChecking)
async def on_checking(unit: UnitOfWork, checking: BookingChecking) -> None:
    """The processor looks for a table."""
    await CHANGES.follow(unit, checking.booking_id, BookingStatus.CHECKING_AVAILABILITY)


@on(BookingConfirmed)
async def on_confirmed(unit: UnitOfWork, confirmed: BookingConfirmed) -> None:
    """A table is allocated. If the booking was cancelled before, the processor releases it."""
    await CHANGES.follow(
        unit, confirmed.booking_id, BookingStatus.CONFIRMED, table_id=confirmed.table_id
    )


@on(BookingRejected)
async def on_rejected(unit: UnitOfWork, rejected: BookingRejected) -> None:
    """There is no table for the booking."""
    await CHANGES.follow(unit, rejected.booking_id, BookingStatus.REJECTED, reason=rejected.reason)

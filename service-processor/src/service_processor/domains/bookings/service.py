"""Deciding about bookings, and freeing their tables; the caller began the transaction."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts import (
    BookingCancelled,
    BookingChecking,
    BookingConfirmed,
    BookingCreated,
    BookingRejected,
)
from outbox import UnitOfWork
from service_processor.domains.bookings import repository
from service_processor.domains.bookings.policy import Decision
from service_processor.seating import choice
from service_processor.seating.choice import Party, half_open


async def decide(unit: UnitOfWork, booking: BookingCreated) -> None:
    """Hold a table for the booking or find out why none can be, record that, and answer."""
    now = datetime.now(UTC)
    party = Party(
        booking.booking_id,
        booking.restaurant_id,
        half_open(booking.starts_at, booking.ends_at),
        booking.guests_count,
    )
    decision = await _search(unit, party, now)
    await repository.record(unit.connection, party, decision, now)
    checking = BookingChecking(booking_id=party.booking_id, started_at=now)
    await unit.emit(checking, _answer(party.booking_id, decision, datetime.now(UTC)))


async def free(unit: UnitOfWork, cancelled: BookingCancelled) -> None:
    """Free what is held for a cancelled booking; nothing if nothing is."""
    restaurant_id = await repository.record_cancellation(
        unit.connection, cancelled.booking_id, cancelled.cancelled_at
    )
    if restaurant_id is not None:
        await choice.lock(unit.connection, restaurant_id)
        await choice.release(unit.connection, cancelled.booking_id, datetime.now(UTC))


async def _search(unit: UnitOfWork, party: Party, now: datetime) -> Decision:
    await choice.lock(unit.connection, party.restaurant_id)
    table_id = await choice.take(unit.connection, party, now)
    if table_id is not None:
        return Decision(table_id)
    return Decision(None, await choice.obstacles(unit.connection, party))


def _answer(
    booking_id: int, decision: Decision, at: datetime
) -> BookingConfirmed | BookingRejected:
    if decision.table_id is not None:
        return BookingConfirmed(booking_id=booking_id, table_id=decision.table_id, confirmed_at=at)
    assert decision.reason is not None
    return BookingRejected(booking_id=booking_id, reason=decision.reason, rejected_at=at)

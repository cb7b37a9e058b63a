"""Decides about bookings and releases their tables; the caller has begun the transaction."""

from __future__ import annotations

from datetime import UTC, datetime

from contracts.bookings import (
    BookingCancelled,
    BookingChecking,
    BookingConfirmed,
    BookingCreated,
    BookingRejected,
)
from outbox import UnitOfWork
from service_processor.domains.bookings import repository
from service_processor.domains.bookings.policy import Decision
from service_processor.seating import allocation
from service_processor.seating.allocation import Party, half_open


async def decide(unit: UnitOfWork, booking: BookingCreated) -> None:
    """Allocate a table or find out why there is none, record the decision, and answer."""
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


async def release(unit: UnitOfWork, cancelled: BookingCancelled) -> None:
    """Release the table of a cancelled booking, if it has one."""
    restaurant_id = await repository.record_cancellation(
        unit.connection, cancelled.booking_id, cancelled.cancelled_at
    )
    if restaurant_id is not None:
        await allocation.lock(unit.connection, restaurant_id)
        await allocation.release(unit.connection, cancelled.booking_id, datetime.now(UTC))


async def _search(unit: UnitOfWork, party: Party, now: datetime) -> Decision:
    await allocation.lock(unit.connection, party.restaurant_id)
    table_id = await allocation.allocate(unit.connection, party, now)
    if table_id is not None:
        return Decision(table_id)
    return Decision(None, await allocation.obstacles(unit.connection, party))


def _answer(
    booking_id: int, decision: Decision, at: datetime
) -> BookingConfirmed | BookingRejected:
    if decision.table_id is not None:
        return BookingConfirmed(booking_id=booking_id, table_id=decision.table_id, confirmed_at=at)
    assert decision.reason is not None
    return BookingRejected(booking_id=booking_id, reason=decision.reason, rejected_at=at)

"""Decides about bookings and releases their tables; the caller has begun the transaction."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from contracts.bookings import (
    BookingCancelled,
    BookingChecking,
    BookingConfirmed,
    BookingCreated,
    BookingRejected,
)
from outbox import Envelope, UnitOfWork
from service_processor.domains.bookings import repository
from service_processor.domains.bookings.policy import Decision
from service_processor.seating import allocation
from service_processor.seating.free_tables import Party


async def decide(
    unit: UnitOfWork, created: Sequence[BookingCreated], causes: Sequence[Envelope]
) -> None:
    """Allocate tables or find out why there are none, record the decisions, and answer."""
    now = datetime.now(UTC)
    parties = [_party(booking) for booking in created]
    choices = await allocation.allocate(unit, parties, now)
    decisions = [Decision(choice.allocation, choice.obstacles) for choice in choices]
    await repository.record(unit, parties, decisions, now)
    at = datetime.now(UTC)
    for party, decision, cause in zip(parties, decisions, causes, strict=True):
        checking = BookingChecking(booking_id=party.booking_id, started_at=now)
        await unit.caused_by(cause).emit(checking, _answer(party.booking_id, decision, at))


async def release(unit: UnitOfWork, cancelled: Sequence[BookingCancelled]) -> None:
    """Release the tables of cancelled bookings; those that were rejected have none."""
    await allocation.release(unit, [one.booking_id for one in cancelled], datetime.now(UTC))
    await repository.record_cancellations(
        unit, {one.booking_id: one.cancelled_at for one in cancelled}
    )


def _party(booking: BookingCreated) -> Party:
    return Party(
        booking.booking_id,
        booking.restaurant_id,
        booking.starts_at,
        booking.ends_at,
        booking.guests_count,
    )


def _answer(
    booking_id: int, decision: Decision, at: datetime
) -> BookingConfirmed | BookingRejected:
    if decision.table_id is not None:
        return BookingConfirmed(booking_id=booking_id, table_id=decision.table_id, confirmed_at=at)
    assert decision.reason is not None
    return BookingRejected(booking_id=booking_id, reason=decision.reason, rejected_at=at)

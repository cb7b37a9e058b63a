"""The statements of decisions about bookings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from outbox import UnitOfWork
from service_processor.domains.bookings.models import BookingDecision, booking_decisions
from service_processor.domains.bookings.policy import Decision
from service_processor.seating.allocation import half_open
from service_processor.seating.free_tables import Obstacle, Party
from servicekit.database.tables import RowMapper

DECISIONS = RowMapper(booking_decisions, BookingDecision)

_CANCELLED = """
UPDATE booking_decisions AS decided SET cancelled_at = given.cancelled_at
  FROM unnest(%(booking_ids)s::bigint[], %(cancelled_at)s::timestamptz[])
       AS given(booking_id, cancelled_at)
 WHERE decided.booking_id = given.booking_id"""


async def record(
    unit: UnitOfWork, parties: Sequence[Party], decisions: Sequence[Decision], at: datetime
) -> None:
    """Store decisions. A second decision about a booking is a bug, and fails."""
    rows = [
        BookingDecision(
            party.booking_id,
            party.restaurant_id,
            half_open(party.begin, party.end),
            party.guests_count,
            decision.outcome,
            decision.reason,
            decision.table_id,
            _as_json(decision.obstacles),
            at,
        )
        for party, decision in zip(parties, decisions, strict=True)
    ]
    await unit.send(DECISIONS.insert_all, DECISIONS.listed(rows))


async def record_cancellations(unit: UnitOfWork, cancelled: Mapping[int, datetime]) -> None:
    """Store when these bookings were cancelled, whatever was decided about them."""
    given = {"booking_ids": list(cancelled), "cancelled_at": list(cancelled.values())}
    await unit.send(_CANCELLED, given)


def _as_json(obstacles: Sequence[Obstacle]) -> list[dict[str, Any]]:
    return [
        {
            "table_id": one.allocation.table_id,
            "seats": one.seats,
            "allocation_id": one.allocation.id,
            "from": one.allocation.begin.isoformat(),
            "until": one.allocation.end.isoformat(),
        }
        for one in obstacles
    ]

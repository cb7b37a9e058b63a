"""The statements of decisions about bookings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from service_processor.domains.bookings.models import BookingDecision, booking_decisions
from service_processor.domains.bookings.policy import Decision
from service_processor.seating.allocation import Obstacle, Party
from servicekit.database.tables import RowMapper

DECISIONS = RowMapper(booking_decisions, BookingDecision)


async def record(
    connection: AsyncConnection, party: Party, decision: Decision, at: datetime
) -> None:
    """Store a decision. A second decision about a booking is a bug, and fails."""
    row = BookingDecision(
        party.booking_id,
        party.restaurant_id,
        party.period,
        party.guests_count,
        decision.outcome,
        decision.reason,
        decision.table_id,
        _as_json(decision.obstacles),
        at,
    )
    await DECISIONS.add(connection, row)


async def record_cancellation(
    connection: AsyncConnection, booking_id: int, at: datetime
) -> int | None:
    """Store the cancellation of a booking and return the id of its restaurant."""
    found = await connection.execute(
        update(booking_decisions)
        .where(booking_decisions.c.booking_id == booking_id)
        .values(cancelled_at=at)
        .returning(booking_decisions.c.restaurant_id)
    )
    restaurant_id: int | None = found.scalar_one_or_none()
    return restaurant_id


def _as_json(obstacles: Sequence[Obstacle]) -> list[dict[str, Any]]:
    return [
        {
            "table_id": one.table_id,
            "seats": one.seats,
            "allocation_id": one.allocation_id,
            "from": one.begin.isoformat(),
            "until": one.end.isoformat(),
        }
        for one in obstacles
    ]

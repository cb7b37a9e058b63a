"""Events of bookings for service-processor, and what it decided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import text

from contracts.bookings import BookingCancelled, BookingCreated
from kit.services.restaurant import NOON
from kit.services.service import Service

NUMBERS = count(1)
HOUR = timedelta(hours=1)


def booking(restaurant_id: int, guests: int, begin: datetime = NOON) -> BookingCreated:
    return BookingCreated(
        booking_id=next(NUMBERS),
        restaurant_id=restaurant_id,
        starts_at=begin,
        ends_at=begin + HOUR,
        guests_count=guests,
        created_at=datetime.now(UTC),
    )


def cancelled(asked: BookingCreated) -> BookingCancelled:
    return BookingCancelled(booking_id=asked.booking_id, cancelled_at=datetime.now(UTC))


async def rows(service: Service, query: str) -> list[Any]:
    async with service.work.read() as connection:
        return list(await connection.execute(text(query)))


async def decided(service: Service, asked: BookingCreated) -> Any:
    query = f"SELECT * FROM booking_decisions WHERE booking_id = {asked.booking_id}"
    [decision] = await rows(service, query)
    return decision

"""Bookings given to service-processor's inbox, as its consumer would."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from sqlalchemy import text
from uuid_utils.compat import uuid7

from contracts import Contract
from contracts.bookings import BookingCancelled, BookingCreated
from kit.services.restaurant import NOON
from kit.services.service import Service
from outbox import Envelope, Inbox, Stream
from service_processor.domains.bookings.handlers import on as HANDLERS

NUMBERS = count(1)
HOUR = timedelta(hours=1)


async def take(service: Service, *events: Contract) -> None:
    """What the consumer does with a batch; each booking's events in their order."""
    places: dict[str, int] = {}
    envelopes = []
    for event in events:
        first = 1 if isinstance(event, BookingCreated) else 2
        place = places[event.aggregate_id] = places.get(event.aggregate_id, first - 1) + 1
        stream = Stream("service-orders", "booking", event.aggregate_id)
        now = datetime.now(UTC)
        envelopes.append(Envelope(uuid7(), stream, place, event.type, 1, now, event.payload(), "c"))
    await Inbox("processor.bookings", HANDLERS, service.work).handle(envelopes)


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

"""Adds the demo restaurants once, as if a person had added them, and never again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import Column, DateTime, Sequence, Table, Text, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import UnitOfWork, Work
from service_processor.domains.restaurants import service
from service_processor.domains.restaurants.schemas import AddRestaurant, AddTable
from service_processor.metadata import metadata
from service_processor.seating.known_restaurants import KnownRestaurant

DEMO = "demo restaurants"

seeds = Table(
    "seeds",
    metadata,
    # The row is also the lock: of several concurrent seeders one adds the restaurants.
    Column("name", Text, primary_key=True),
    Column("planted_at", DateTime(True), nullable=False),
)


class _Demo(NamedTuple):
    name: str
    address: str
    description: str
    timezone: str
    seats: tuple[int, ...]


_RESTAURANTS = (
    _Demo("Trattoria al Porto", "Via del Porto 1, Genova", "By the harbour", "Europe/Rome",
          (2, 2, 4, 4, 6)),
    _Demo("Zur Linde", "Lindenallee 12, Berlin", "Under the lime tree", "Europe/Berlin",
          (2, 2, 2, 4, 4, 8)),
    _Demo("The Granary", "Mill Lane 3, Bristol", "In the old mill", "Europe/London",
          (2, 4, 4, 6, 10)),
    _Demo("Sumida", "Mukojima 5-2, Tokyo", "At the river", "Asia/Tokyo", (1, 1, 2, 2, 4)),
    _Demo("Harbor Diner", "Pier 7, Boston", "Open late", "America/New_York",
          (2, 2, 4, 4, 4, 6)),
)  # fmt: skip


async def plant(work: Work) -> bool:
    """Add the demo restaurants and their tables; False if that was done before."""
    async with work.begin() as unit:
        if not await _is_first(unit.connection):
            return False
        for demo in _RESTAURANTS:
            await _add(unit, demo)
    return True


async def _is_first(connection: AsyncConnection) -> bool:
    row = insert(seeds).values(name=DEMO, planted_at=datetime.now(UTC))
    # The row is the record and the lock: see decision 0607.
    planted = await connection.execute(row.on_conflict_do_nothing().returning(seeds.c.name))
    return planted.first() is not None


async def _add(unit: UnitOfWork, demo: _Demo) -> None:
    body = AddRestaurant(
        name=demo.name,
        address=demo.address,
        description=demo.description,
        timezone=demo.timezone,
    )
    id_ = await _next(unit.connection, "restaurants_id_seq")
    restaurant = await service.add_restaurant(unit, id_, body, demo.timezone)
    known = KnownRestaurant(restaurant.id, ZoneInfo(demo.timezone))
    for number, seats in enumerate(demo.seats, 1):
        table = AddTable(name=f"Table {number}", seats=seats, location="")
        id_ = await _next(unit.connection, "tables_id_seq")
        await service.add_table(unit, id_, table, known)


async def _next(connection: AsyncConnection, sequence: str) -> int:
    drawn = await connection.execute(select(func.next_value(Sequence(sequence))))
    id_: int = drawn.scalar_one()
    return id_

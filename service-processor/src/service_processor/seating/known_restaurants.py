"""What never changes about restaurants and tables, read once per process.

A table keeps its restaurant, and a restaurant keeps its time zone, for ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.sql import Select

from outbox import Work
from service_processor.seating.models import restaurants, tables


@dataclass(frozen=True, slots=True)
class KnownRestaurant:
    """A restaurant's id and its time zone."""

    id: int
    zone: ZoneInfo


_RESTAURANTS = select(restaurants.c.id, restaurants.c.timezone)
_FIRST = _RESTAURANTS.order_by(restaurants.c.created_at, restaurants.c.id).limit(1)


class KnownRestaurants:
    """Finds restaurants, and remembers each one that it has found."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._by_table: dict[int, KnownRestaurant] = {}
        self._by_id: dict[int, KnownRestaurant] = {}
        self._first: KnownRestaurant | None = None

    async def of_table(self, table_id: int) -> KnownRestaurant | None:
        """The restaurant of a table, deleted ones included; None if there never was one."""
        if table_id not in self._by_table:
            of_table = _RESTAURANTS.join_from(restaurants, tables).where(tables.c.id == table_id)
            if found := await self._read(of_table):
                self._by_table[table_id] = found
        return self._by_table.get(table_id)

    async def find(self, restaurant_id: int) -> KnownRestaurant | None:
        """The restaurant with this id; None if there is none."""
        if restaurant_id not in self._by_id:
            wanted = _RESTAURANTS.where(restaurants.c.id == restaurant_id)
            if found := await self._read(wanted):
                self._by_id[restaurant_id] = found
        return self._by_id.get(restaurant_id)

    async def first(self) -> KnownRestaurant | None:
        """The oldest restaurant; None if there is none yet."""
        if self._first is None:
            self._first = await self._read(_FIRST)
        return self._first

    async def _read(self, wanted: Select[tuple[int, str]]) -> KnownRestaurant | None:
        async with self._work.read() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        return None if row is None else KnownRestaurant(row.id, ZoneInfo(row.timezone))

"""What never changes about a table or a restaurant once it is there, read once per process."""

from __future__ import annotations

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.sql import Select

from outbox import Work
from service_processor.seating.models import restaurants, tables


@dataclass(frozen=True, slots=True)
class Place:
    """A restaurant and its time zone."""

    restaurant_id: int
    zone: ZoneInfo


_RESTAURANTS = select(restaurants.c.id, restaurants.c.timezone)
_FIRST = _RESTAURANTS.order_by(restaurants.c.created_at, restaurants.c.id).limit(1)


class Places:
    """Where tables are. A table keeps its restaurant and a restaurant its zone, for ever."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._by_table: dict[int, Place] = {}
        self._by_restaurant: dict[int, Place] = {}
        self._first: Place | None = None

    async def of_table(self, table_id: int) -> Place | None:
        """Where a table is or was; None if there never was one."""
        if table_id not in self._by_table:
            of_table = _RESTAURANTS.join_from(restaurants, tables).where(tables.c.id == table_id)
            if found := await self._read(of_table):
                self._by_table[table_id] = found
        return self._by_table.get(table_id)

    async def of_restaurant(self, restaurant_id: int) -> Place | None:
        """A restaurant, if there is one."""
        if restaurant_id not in self._by_restaurant:
            wanted = _RESTAURANTS.where(restaurants.c.id == restaurant_id)
            if found := await self._read(wanted):
                self._by_restaurant[restaurant_id] = found
        return self._by_restaurant.get(restaurant_id)

    async def first(self) -> Place | None:
        """The restaurant that was there first."""
        if self._first is None:
            self._first = await self._read(_FIRST)
        return self._first

    async def _read(self, wanted: Select[tuple[int, str]]) -> Place | None:
        async with self._work.read() as connection:
            row = (await connection.execute(wanted)).one_or_none()
        return None if row is None else Place(row.id, ZoneInfo(row.timezone))

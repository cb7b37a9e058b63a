"""The statements of the copy. Each may be run again with what it was run with before."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts import RestaurantCreated, TableCreated
from service_orders.domains.restaurants.models import (
    DiningTable,
    Restaurant,
    restaurant_tables,
    restaurants,
)
from servicekit.http.pagination import Keyset, PageRequest

NEWEST_FIRST = Keyset(restaurants.c.created_at, restaurants.c.id)

_RESTAURANT = select(*(restaurants.c[field] for field in Restaurant.__slots__))


async def put_restaurant(connection: AsyncConnection, told: RestaurantCreated) -> None:
    """As it was told, without tables: those follow."""
    facts = {
        "name": told.name,
        "address": told.address,
        "description": told.description,
        "timezone": told.timezone,
        "created_at": told.created_at,
    }
    row = insert(restaurants).values(id=told.restaurant_id, **facts)
    await connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=facts))
    await connection.execute(
        delete(restaurant_tables).where(restaurant_tables.c.restaurant_id == told.restaurant_id)
    )


async def put_table(connection: AsyncConnection, told: TableCreated) -> None:
    """A table of an unknown restaurant is left out: it is told again, after its restaurant."""
    if await find(connection, told.restaurant_id) is None:
        return
    facts = {"name": told.name, "seats": told.seats, "location": told.location}
    row = insert(restaurant_tables).values(
        id=told.table_id, restaurant_id=told.restaurant_id, **facts
    )
    await connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=facts))


async def remove_table(connection: AsyncConnection, table_id: int) -> None:
    await connection.execute(delete(restaurant_tables).where(restaurant_tables.c.id == table_id))


async def find(connection: AsyncConnection, restaurant_id: int) -> Restaurant | None:
    row = (await connection.execute(_RESTAURANT.where(restaurants.c.id == restaurant_id))).first()
    return None if row is None else Restaurant(*row)


async def page_of(connection: AsyncConnection, page: PageRequest) -> Sequence[Restaurant]:
    rows = await connection.execute(NEWEST_FIRST.select(_RESTAURANT, page))
    return [Restaurant(*row) for row in rows]


async def tables_of(connection: AsyncConnection, restaurant_id: int) -> Sequence[DiningTable]:
    """Smallest first, which is how they are given to guests."""
    found = await connection.execute(
        select(*(restaurant_tables.c[field] for field in DiningTable.__slots__))
        .where(restaurant_tables.c.restaurant_id == restaurant_id)
        .order_by(restaurant_tables.c.seats, restaurant_tables.c.id)
    )
    return [DiningTable(*row) for row in found]

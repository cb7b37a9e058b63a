"""The statements of the copy. Each may be repeated with the same event."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.restaurants import RestaurantCreated, TableCreated
from service_orders.domains.restaurants.models import (
    DiningTable,
    Restaurant,
    restaurant_tables,
    restaurants,
)
from servicekit.http.pagination import Keyset, PageRequest

NEWEST_FIRST = Keyset(restaurants.c.created_at, restaurants.c.id)

_RESTAURANT = select(*(restaurants.c[field] for field in Restaurant.__slots__))


async def put_restaurant(connection: AsyncConnection, event: RestaurantCreated) -> None:
    """Store a restaurant without tables; their events follow."""
    facts = {
        "name": event.name,
        "address": event.address,
        "description": event.description,
        "timezone": event.timezone,
        "created_at": event.created_at,
    }
    row = insert(restaurants).values(id=event.restaurant_id, **facts)
    await connection.execute(row.on_conflict_do_update(index_elements=["id"], set_=facts))
    await connection.execute(
        delete(restaurant_tables).where(restaurant_tables.c.restaurant_id == event.restaurant_id)
    )


async def put_table(connection: AsyncConnection, event: TableCreated) -> None:
    """Store a table. One of an unknown restaurant is left out: it comes again after that."""
    if await find(connection, event.restaurant_id) is None:
        return
    facts = {"name": event.name, "seats": event.seats, "location": event.location}
    row = insert(restaurant_tables).values(
        id=event.table_id, restaurant_id=event.restaurant_id, **facts
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
    """The tables of a restaurant, smallest first, as they are allocated."""
    found = await connection.execute(
        select(*(restaurant_tables.c[field] for field in DiningTable.__slots__))
        .where(restaurant_tables.c.restaurant_id == restaurant_id)
        .order_by(restaurant_tables.c.seats, restaurant_tables.c.id)
    )
    return [DiningTable(*row) for row in found]

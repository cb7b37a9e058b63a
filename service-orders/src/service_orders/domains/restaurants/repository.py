"""The statements of the copy. Each may be repeated with the same event."""

from __future__ import annotations

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.restaurants import RestaurantCreated, TableCreated
from service_orders.domains.restaurants.errors import UnknownRestaurant
from service_orders.domains.restaurants.models import (
    DiningTable,
    Restaurant,
    restaurant_tables,
    restaurants,
)
from servicekit.database.tables import RowMapper
from servicekit.http.pagination import Keyset
from servicekit.service.rows import Rows

ROWS = Rows[int, Restaurant](
    restaurants,
    Restaurant,
    UnknownRestaurant,
    newest_first=Keyset(restaurants.c.created_at, restaurants.c.id),
)
TABLES = RowMapper(restaurant_tables, DiningTable)


async def put_restaurant(connection: AsyncConnection, event: RestaurantCreated) -> None:
    """Store a restaurant without tables; their events follow."""
    restaurant = Restaurant(
        event.restaurant_id,
        event.name,
        event.address,
        event.description,
        event.timezone,
        event.created_at,
    )
    await ROWS.put(connection, restaurant)
    await connection.execute(
        delete(restaurant_tables).where(restaurant_tables.c.restaurant_id == restaurant.id)
    )


async def put_table(connection: AsyncConnection, event: TableCreated) -> None:
    """Store a table. One of an unknown restaurant is left out: it comes again after that."""
    if await ROWS.find(connection, event.restaurant_id) is None:
        return
    table = DiningTable(
        event.table_id, event.restaurant_id, event.name, event.seats, event.location
    )
    await TABLES.put(connection, table)


async def remove_table(connection: AsyncConnection, table_id: int) -> None:
    await connection.execute(delete(restaurant_tables).where(restaurant_tables.c.id == table_id))


async def tables_of(connection: AsyncConnection, restaurant_id: int) -> list[DiningTable]:
    """The tables of a restaurant, smallest first, as they are allocated."""
    these = TABLES.all.where(restaurant_tables.c.restaurant_id == restaurant_id)
    smallest_first = these.order_by(restaurant_tables.c.seats, restaurant_tables.c.id)
    return await TABLES.fetch(connection, smallest_first)

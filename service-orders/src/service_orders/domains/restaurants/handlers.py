"""Applies the events of restaurants from service-processor to the copy."""

from __future__ import annotations

from contracts import events_of
from contracts.restaurants import ORDERS_RESTAURANTS, RestaurantCreated, TableCreated, TableDeleted
from outbox import Handlers, UnitOfWork
from service_orders.domains.restaurants import repository

on = Handlers(ORDERS_RESTAURANTS, *events_of(ORDERS_RESTAURANTS))


@on(RestaurantCreated)
async def on_restaurant_created(unit: UnitOfWork, event: RestaurantCreated) -> None:
    """A new restaurant, or one that is published again from the beginning."""
    await repository.put_restaurant(unit.connection, event)


@on(TableCreated)
async def on_table_created(unit: UnitOfWork, event: TableCreated) -> None:
    """The event of the restaurant came before, in the same stream."""
    await repository.put_table(unit.connection, event)


@on(TableDeleted)
async def on_table_deleted(unit: UnitOfWork, deleted: TableDeleted) -> None:
    """The table is gone."""
    await repository.remove_table(unit.connection, deleted.table_id)

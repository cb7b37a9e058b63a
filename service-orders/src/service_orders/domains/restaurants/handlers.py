"""Applies the events of restaurants from service-processor to the copy."""

from __future__ import annotations

from collections.abc import Mapping

from contracts import RestaurantCreated, TableCreated, TableDeleted
from outbox import Envelope, Handler, UnitOfWork
from service_orders.domains.restaurants import repository


async def on_restaurant_created(unit: UnitOfWork, event: Envelope) -> None:
    """A new restaurant, or one that is published again from the beginning."""
    await repository.put_restaurant(unit.connection, RestaurantCreated.of(event))


async def on_table_created(unit: UnitOfWork, event: Envelope) -> None:
    """The event of the restaurant came before, in the same stream."""
    await repository.put_table(unit.connection, TableCreated.of(event))


async def on_table_deleted(unit: UnitOfWork, event: Envelope) -> None:
    """The table is gone."""
    deleted = TableDeleted.of(event)
    await repository.remove_table(unit.connection, deleted.table_id)


HANDLERS: Mapping[str, Handler] = {
    RestaurantCreated.type: on_restaurant_created,
    TableCreated.type: on_table_created,
    TableDeleted.type: on_table_deleted,
}

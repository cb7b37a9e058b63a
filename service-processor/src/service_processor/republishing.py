"""Emits the events of all restaurants and tables again, for a consumer that rebuilds its copy.

Each restaurant is one transaction. Its first event locks the stream's counter, so a table that is
added or deleted at the same time comes before all of these events or after all of them.
"""

from __future__ import annotations

from sqlalchemy import select

from outbox import Work
from service_processor.domains.restaurants import repository, service
from service_processor.seating.models import restaurants, tables


async def republish_restaurants(work: Work) -> int:
    """Emit the current state as events, and return the number of restaurants."""
    async with work.read() as connection:
        ids = (await connection.execute(select(restaurants.c.id).order_by(restaurants.c.id))).all()
    for (restaurant_id,) in ids:
        async with work.begin() as unit:
            # None is ever deleted.
            restaurant = await repository.RESTAURANTS.get(unit.connection, restaurant_id)
            await unit.emit(service.restaurant_created(restaurant))  # see decision 0608
            found = await repository.TABLES.fetch(
                unit.connection, repository.table_list(restaurant_id).order_by(tables.c.id)
            )
            await unit.emit(*(service.table_created(table) for table in found))
    return len(ids)

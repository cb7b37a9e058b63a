"""Saying again what restaurants and tables there are, for a copy that is built anew.

Each restaurant is said in one transaction, whose first event takes the stream's counter: whoever
adds or deletes a table there at the same time comes before all of it or after all of it.
"""

from __future__ import annotations

from sqlalchemy import select

from outbox import Work
from service_processor.domains.floor import repository, service
from service_processor.domains.floor.models import DiningTable
from service_processor.seating.models import restaurants, tables


async def republish_restaurants(work: Work) -> int:
    """Emit current state as events; returns of how many restaurants."""
    async with work.read() as connection:
        ids = (await connection.execute(select(restaurants.c.id).order_by(restaurants.c.id))).all()
    for (restaurant_id,) in ids:
        async with work.begin() as unit:
            restaurant = await repository.restaurant(unit.connection, restaurant_id)
            assert restaurant is not None  # none is ever deleted
            await unit.emit(service.restaurant_created(restaurant))
            found = await unit.connection.execute(
                repository.table_list(restaurant_id).order_by(tables.c.id)
            )
            await unit.emit(*(service.table_created(DiningTable(*row)) for row in found))
    return len(ids)

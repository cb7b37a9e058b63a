"""What an API process keeps for its requests about restaurants, tables and reservations."""

from __future__ import annotations

import asyncio

from outbox import Work
from service_processor.seating.known_restaurants import KnownRestaurants
from servicekit.database.id_allocation import IdBlocks

CONCURRENT_RESERVATIONS = 6


class SeatingResources:
    """Known restaurants, blocks of ids, and a limit of concurrent reservations.

    A request that waits for a restaurant's lock keeps its connection meanwhile. The limit makes a
    crowd at one restaurant wait before the pool, and leaves connections to all others.
    """

    def __init__(self, work: Work) -> None:
        self.reservation_limit = asyncio.Semaphore(CONCURRENT_RESERVATIONS)  # see decision 0609
        self.known_restaurants = KnownRestaurants(work)
        self.restaurant_ids = IdBlocks(work.engine, "restaurants_id_seq", block=1)
        self.table_ids = IdBlocks(work.engine, "tables_id_seq", block=10)
        self.allocation_ids = IdBlocks(work.engine, "allocations_id_seq")

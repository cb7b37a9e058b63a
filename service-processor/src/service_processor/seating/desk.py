"""What an API process needs to take requests about seats."""

from __future__ import annotations

import asyncio

from outbox import Work
from service_processor.seating.places import Places
from servicekit.database.id_allocation import IdBlocks

QUEUE = 6


class Desk:
    """Places, ids to come, and a queue for those who want a seat.

    Who waits for a restaurant's lock holds a connection meanwhile. A crowd at one restaurant waits
    in the queue instead, and leaves connections to all others.
    """

    def __init__(self, work: Work) -> None:
        self.queue = asyncio.Semaphore(QUEUE)
        self.places = Places(work)
        self.restaurant_ids = IdBlocks(work.engine, "restaurants_id_seq", block=1)
        self.table_ids = IdBlocks(work.engine, "tables_id_seq", block=10)
        self.allocation_ids = IdBlocks(work.engine, "allocations_id_seq")

"""What an API process needs to take requests about seats."""

from __future__ import annotations

from outbox import Work
from service_processor.seating.places import Places
from servicekit.ids import IdBlocks


class Desk:
    """Places, and ids to come."""

    def __init__(self, work: Work) -> None:
        self.places = Places(work)
        self.restaurant_ids = IdBlocks(work.engine, "restaurants_id_seq", block=1)
        self.table_ids = IdBlocks(work.engine, "tables_id_seq", block=10)
        self.allocation_ids = IdBlocks(work.engine, "allocations_id_seq")

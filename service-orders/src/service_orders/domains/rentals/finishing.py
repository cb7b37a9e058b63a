"""Finishing a rental that many want finished at once.

Each would wait for the row with a connection of its own, until nobody else gets one. So in one
process one transaction finishes a rental, and whoever asks meanwhile gets its answer.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from outbox import Work
from service_orders.domains.rentals import service
from service_orders.domains.rentals.models import Rental


class Finisher:
    """One per process."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._running: dict[UUID, asyncio.Task[Rental]] = {}

    async def finish(self, rental_id: UUID) -> Rental:
        """The rental, which has ended. Raises `RentalNotFound` or `RentalNotActive`."""
        running = self._running.get(rental_id)
        if running is not None:
            await asyncio.wait({running})
            if not running.cancelled() and running.exception() is None:
                return running.result()
        return await asyncio.shield(self._begin(rental_id))

    def _begin(self, rental_id: UUID) -> asyncio.Task[Rental]:
        """Whoever finds one that failed begins another, all of them together."""
        running = self._running.get(rental_id)
        if running is None or running.done():
            running = asyncio.create_task(self._finish(rental_id))
            self._running[rental_id] = running
            running.add_done_callback(lambda done: self._forget(rental_id, done))
        return running

    def _forget(self, rental_id: UUID, done: asyncio.Task[Rental]) -> None:
        if self._running.get(rental_id) is done:
            del self._running[rental_id]

    async def _finish(self, rental_id: UUID) -> Rental:
        async with self._work.begin() as unit:
            return await service.finish(unit, rental_id)

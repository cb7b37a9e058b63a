"""Finishes a rental for many concurrent callers with one transaction.

If each caller waited for the row with its own connection, the pool would be empty for all other
requests. So one transaction per process finishes a rental, and the other callers get its result.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from outbox import Work
from service_orders.domains.rentals import service
from service_orders.domains.rentals.models import Rental


class Finisher:
    """Finishes rentals; one per process."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._running: dict[UUID, asyncio.Task[Rental]] = {}

    async def finish(self, rental_id: UUID) -> Rental:
        """Finish a rental and return it. Raises `RentalNotFound` or `RentalNotActive`."""
        running = self._running.get(rental_id)
        if running is not None:
            await asyncio.wait({running})
            if not running.cancelled() and running.exception() is None:
                return running.result()
        return await asyncio.shield(self._begin(rental_id))

    def _begin(self, rental_id: UUID) -> asyncio.Task[Rental]:
        """Start a task, or join the one that a concurrent caller started after a failure."""
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

"""Housekeeping of workers: the day partitions of rentals, and expired offers."""

from __future__ import annotations

import asyncio
import logging

import psycopg
import sqlalchemy.exc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox import DayPartitions
from outbox.supervise import pause
from service_orders.domains.rentals.models import NEEDED

logger = logging.getLogger(__name__)

DAYS_AHEAD = 7
INTERVAL, AGAIN = 300.0, 5.0

# An hour later than needed: the process that reads a token may have another clock.
_FORGET = text("""
DELETE FROM used_offers WHERE offer_id = ANY(ARRAY(
  SELECT offer_id FROM used_offers WHERE expires_at < now() - interval '1 hour'
   ORDER BY expires_at LIMIT 1000 FOR UPDATE SKIP LOCKED))
""")


def days_of_rentals(retention_days: int) -> DayPartitions:
    """The partitions of `rentals`. A day is kept while one of its rentals has not ended."""
    return DayPartitions(
        "rentals", "started_at", ahead=DAYS_AHEAD, keep=retention_days, needed=NEEDED
    )


def no_day_of_rentals(name: str | None, kind: str, _parents: object) -> bool:
    """For Alembic: workers make and drop the partitions, and migrations leave them alone."""
    return kind != "table" or not name or days_of_rentals(1).day_of(name) is None


async def forget_expired_offers(engine: AsyncEngine) -> int:
    """Delete the rows of expired offers, whose tokens are refused anyway. Returns their number."""
    forgotten = 0
    while True:
        async with engine.begin() as connection:
            found = (await connection.execute(_FORGET)).rowcount
        forgotten += found
        if not found:
            return forgotten


class OfferHousekeeping:
    """Deletes expired offers every few minutes; any number of workers may run it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Run until told to stop; while the database is away it tries again every few seconds."""
        while not stop.is_set():
            try:
                await forget_expired_offers(self._engine)
            except (psycopg.OperationalError, sqlalchemy.exc.SQLAlchemyError) as error:
                self.running = False
                logger.warning("expired offers stay for now: %s", str(error).partition("\n")[0])
            else:
                self.running = True
            await pause(stop, INTERVAL if self.running else AGAIN)
        self.running = False

"""The outbox table's day partitions, and for how many days inserts have one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from sqlalchemy.ext.asyncio import create_async_engine

from outbox.addresses import Database, DatabaseAddress
from outbox.log import operator_queries as outbox_sql
from outbox.operations.database import Connection, fetch, value
from outbox.postgres.day_partitions import OUTBOX


@dataclass(frozen=True, slots=True)
class DayPartition:
    """One partition. `events` is the planner's estimate, `bytes` includes the indexes."""

    name: str
    bounds: str
    bytes: int
    events: int
    unpublished: int
    parked: int

    @property
    def day(self) -> date | None:
        """Its day in UTC, or None if this library did not create it."""
        return OUTBOX.day_of(self.name)


async def ensure_days(database: Database) -> None:
    """Create the missing days.

    An address instead of a connection, because `DayPartitions` works on SQLAlchemy engines, as
    migrations and `Maintenance` use it.
    """
    engine = create_async_engine(DatabaseAddress.of(database).engine_url)
    try:
        await OUTBOX.ensure_ahead(engine)
    finally:
        await engine.dispose()


async def day_partitions(connection: Connection) -> list[DayPartition]:
    """All partitions, the oldest first."""
    return await fetch(connection, DayPartition, outbox_sql.DAYS)


async def today(connection: Connection) -> date:
    """The database's day in UTC; it decides into which partition an event goes."""
    found: date = await value(connection, "SELECT (now() AT TIME ZONE 'UTC')::date")
    return found


def days_covered(partitions: list[DayPartition], today: date) -> int:
    """For how many days inserts have a partition: 0 without today's, 1 with only today's."""
    days = {partition.day for partition in partitions}
    covered = 0
    while today + timedelta(days=covered) in days:
        covered += 1
    return covered

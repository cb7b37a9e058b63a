"""Day partitions of the log, made ahead of time.

There is no DEFAULT partition: it would have to be searched under a strong lock whenever a
partition is added. A missing partition makes inserts fail, so that days are made well ahead.
"""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

DAYS_AHEAD = 14
ALARM_BELOW = 3
# The same number in every process: they must meet on one lock.
_LOCK = 7_306_914_221


def name_of(day: date) -> str:
    """The partition of a day, as in `outbox_p20260131`."""
    return f"outbox_p{day:%Y%m%d}"


def add_statements(today: date, days: int) -> list[str]:
    """SQL that makes the partitions of today and the next `days` days, where missing.

    LIKE + CHECK + ATTACH, because ATTACH takes only SHARE UPDATE EXCLUSIVE on the parent
    (PostgreSQL, ALTER TABLE, "ATTACH PARTITION"); the CHECK spares the scan.
    """
    return [_add(today + timedelta(days=n)) for n in range(-1, days + 1)]


def _add(day: date) -> str:
    name, start, end = name_of(day), f"{day} 00:00+00", f"{day + timedelta(days=1)} 00:00+00"
    return f"""
    DO $$ BEGIN
      IF to_regclass('{name}') IS NULL THEN
        CREATE TABLE {name} (LIKE outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS,
          CONSTRAINT {name}_day CHECK (created_at >= '{start}' AND created_at < '{end}'));
        ALTER TABLE outbox ATTACH PARTITION {name} FOR VALUES FROM ('{start}') TO ('{end}');
        ALTER TABLE {name} DROP CONSTRAINT {name}_day;
      END IF;
    END $$"""


async def ensure_ahead(engine: AsyncEngine, *, days: int = DAYS_AHEAD) -> None:
    """Make what is missing, one transaction a day; another process at it is left to it."""
    async with engine.connect() as connection:
        for statement in add_statements(datetime.now(UTC).date(), days):
            async with connection.begin():
                if await _is_ours_to_do(connection):
                    await connection.execute(text(statement))


async def _is_ours_to_do(connection: AsyncConnection) -> bool:
    locked = await connection.execute(
        text("SELECT pg_try_advisory_xact_lock(:key), set_config('lock_timeout', '2s', true)"),
        {"key": _LOCK},
    )
    return bool(locked.scalar_one())


async def days_ahead(connection: AsyncConnection) -> int:
    """For how many days from now inserts have a partition."""
    found = await connection.execute(
        text(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'outbox'::regclass"
        )
    )
    names, today = set(found.scalars()), datetime.now(UTC).date()
    ahead = 0
    while name_of(today + timedelta(days=ahead + 1)) in names:
        ahead += 1
    return ahead

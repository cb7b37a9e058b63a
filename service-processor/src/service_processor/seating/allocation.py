"""Allocates tables to parties, and releases them.

Everything happens in the caller's transaction, and the restaurants are locked first. A statement's
snapshot is older than a lock acquired inside it: a statement that locks and reads at once would
reject parties although tables are free (PostgreSQL, "Read Committed Isolation Level").
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import Range
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import UnitOfWork
from service_processor.seating.free_tables import (
    Allocation,
    Choice,
    FreeTables,
    Party,
    SeatingTable,
)

# Each lock lasts until the commit, against other allocations, releases and deletions.
_LOCK = text("""
SELECT id FROM restaurants WHERE id = ANY(CAST(:restaurant_ids AS bigint[]))
 ORDER BY id FOR NO KEY UPDATE""")
_LOCK_HOLDERS = text("""
SELECT id FROM restaurants
 WHERE id IN (SELECT t.restaurant_id FROM tables t JOIN allocations a ON a.table_id = t.id
               WHERE a.booking_id = ANY(CAST(:booking_ids AS bigint[])))
 ORDER BY id FOR NO KEY UPDATE""")

# The tables that may seat one of the parties, with their allocations in the parties' periods.
_TABLES = text("""
SELECT t.id, t.restaurant_id, t.seats, a.id, lower(a.period), upper(a.period)
  FROM (SELECT restaurant_id, min(guests_count) AS guests_count,
               range_agg(tstzrange("begin", "end")) AS periods
          FROM unnest(CAST(:restaurant_id AS bigint[]), CAST(:begin AS timestamptz[]),
                      CAST(:end AS timestamptz[]), CAST(:guests_count AS integer[]))
               AS party(restaurant_id, "begin", "end", guests_count)
         GROUP BY restaurant_id) AS wanted
  JOIN tables t ON t.restaurant_id = wanted.restaurant_id
       AND t.deleted_at IS NULL AND t.seats >= wanted.guests_count
  LEFT JOIN allocations a ON a.table_id = t.id AND a.period && wanted.periods
 ORDER BY t.id, lower(a.period)""")

_NEW_IDS = text("SELECT nextval('allocations_id_seq') FROM generate_series(1, :count)")

_ALLOCATE = """
INSERT INTO allocations (id, table_id, period, booking_id, created_at)
SELECT id, table_id, tstzrange("begin", "end"), booking_id, %(at)s
  FROM unnest(%(id)s::bigint[], %(table_id)s::bigint[], %(begin)s::timestamptz[],
              %(end)s::timestamptz[], %(booking_id)s::bigint[])
       AS given(id, table_id, "begin", "end", booking_id)"""

_RELEASE = """
WITH gone AS (
  DELETE FROM allocations WHERE booking_id = ANY(%(booking_ids)s::bigint[])
  RETURNING id, table_id, period, booking_id
)
INSERT INTO releases (allocation_id, table_id, period, booking_id, released_at)
SELECT id, table_id, period, booking_id, %(at)s FROM gone"""


def half_open(begin: datetime, end: datetime) -> Range[datetime]:
    """The period includes `begin` and excludes `end`: the next party may come at `end`."""
    return Range(begin, end, bounds="[)")


async def allocate(unit: UnitOfWork, parties: Sequence[Party], at: datetime) -> list[Choice]:
    """Allocate to each party, in this order, the smallest free table that fits."""
    connection = unit.connection
    restaurant_ids = sorted({party.restaurant_id for party in parties})
    await connection.execute(_LOCK, {"restaurant_ids": restaurant_ids})
    free_tables = await _free_tables(connection, parties)
    new_ids = (await connection.execute(_NEW_IDS, {"count": len(parties)})).scalars()
    choices = [
        free_tables.choose(party, new_id) for party, new_id in zip(parties, new_ids, strict=True)
    ]
    chosen = [
        (party.booking_id, choice.allocation)
        for party, choice in zip(parties, choices, strict=True)
        if choice.allocation is not None
    ]
    if chosen:
        await unit.send(_ALLOCATE, {**_columns(chosen), "at": at})
    return choices


async def release(unit: UnitOfWork, booking_ids: Sequence[int], at: datetime) -> None:
    """Release the tables of these bookings; a booking may have none."""
    given = {"booking_ids": list(booking_ids)}
    await unit.connection.execute(_LOCK_HOLDERS, given)
    await unit.send(_RELEASE, {**given, "at": at})


async def _free_tables(connection: AsyncConnection, parties: Sequence[Party]) -> FreeTables:
    given = {
        "restaurant_id": [party.restaurant_id for party in parties],
        "begin": [party.begin for party in parties],
        "end": [party.end for party in parties],
        "guests_count": [party.guests_count for party in parties],
    }
    rows = await connection.execute(_TABLES, given)
    return FreeTables(
        SeatingTable(
            table_id,
            restaurant_id,
            seats,
            [
                Allocation(id_, table_id, begin.astimezone(UTC), end.astimezone(UTC))
                for *_, id_, begin, end in of_table
                if id_ is not None
            ],
        )
        for (table_id, restaurant_id, seats), of_table in groupby(rows, lambda row: row[:3])
    )


def _columns(chosen: Sequence[tuple[int, Allocation]]) -> dict[str, list[object]]:
    return {
        "id": [allocation.id for _, allocation in chosen],
        "table_id": [allocation.table_id for _, allocation in chosen],
        "begin": [allocation.begin for _, allocation in chosen],
        "end": [allocation.end for _, allocation in chosen],
        "booking_id": [booking_id for booking_id, _ in chosen],
    }

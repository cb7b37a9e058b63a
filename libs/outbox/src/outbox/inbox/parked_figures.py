"""How many events a consumer has parked, and how much room they take."""

from __future__ import annotations

from typing import Any

import psycopg

Connection = psycopg.AsyncConnection[Any]

_COUNTS = "SELECT reason, count(*) FROM inbox_parked WHERE consumer = %s GROUP BY reason"

WEIGHT = "octet_length(body) + 1024"
"""Bytes of one parked event: a row and its index entries take about a KiB beside the body."""
_WEIGHTS = f"""
SELECT coalesce(sum(bytes), 0)::bigint, coalesce(max(bytes), 0)::bigint
  FROM (SELECT sum({WEIGHT}) AS bytes FROM inbox_parked WHERE consumer = %s
         GROUP BY source, aggregate_type, aggregate_id) streams
"""  # noqa: S608


async def counts(connection: Connection, consumer: str) -> dict[str, int]:
    """How many events wait, by reason."""
    cursor = await connection.execute(_COUNTS, [consumer])
    return dict(await cursor.fetchall())


async def weights(connection: Connection, consumer: str) -> tuple[int, int]:
    """Bytes of all that is parked, and of the stream that has most of it."""
    cursor = await connection.execute(_WEIGHTS, [consumer])
    [(total, most)] = await cursor.fetchall()
    return total, most

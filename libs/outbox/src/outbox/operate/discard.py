"""Giving up events that the relay parked: a tombstone goes out in their place.

Consumers count on every sequence. The tombstone carries the event's id and place, under a type
that they know (`envelope.tombstone_of`): they advance past it, and nothing else happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from outbox.operate.database import Connection, fetch, rescan

_FIELDS = """
event_id, source, aggregate_type, aggregate_id, sequence, type, version, created_at,
parked_at, attempts, last_error, payload::text AS payload
"""
_PARKED = f"""
SELECT {_FIELDS} FROM outbox
 WHERE published_at IS NULL AND parked_at IS NOT NULL
   AND (%(ids)s::uuid[] IS NULL OR event_id = ANY(%(ids)s))
 ORDER BY id
"""  # noqa: S608
# A binding of `order.#` takes the bare `order` too, where a longer type would be too long.
_DISCARD = """
UPDATE outbox
   SET type = CASE WHEN octet_length(aggregate_type) > 245 THEN aggregate_type
                   ELSE aggregate_type || '.discarded' END,
       version = 1, payload = '{}', parked_at = NULL, attempts = 0, last_error = NULL
 WHERE published_at IS NULL AND parked_at IS NOT NULL AND event_id = ANY(%(ids)s)
RETURNING event_id
"""
_RETRY = """
UPDATE outbox SET parked_at = NULL, attempts = 0, last_error = NULL
 WHERE published_at IS NULL AND parked_at IS NOT NULL AND event_id = ANY(%(ids)s)
RETURNING event_id
"""


@dataclass(frozen=True, slots=True)
class ParkedInLog:
    """An event that the broker refused for itself."""

    event_id: UUID
    source: str
    aggregate_type: str
    aggregate_id: str
    sequence: int
    type: str
    version: int
    created_at: datetime
    parked_at: datetime
    attempts: int
    last_error: str | None
    payload: str


async def parked_in_log(
    connection: Connection, ids: Sequence[UUID] | None = None
) -> list[ParkedInLog]:
    """Parked events of the log, all or those with these ids, in order."""
    wanted = None if ids is None else list(ids)
    return await fetch(connection, ParkedInLog, _PARKED, {"ids": wanted})


async def discard_in_log(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Put a tombstone in the place of parked events; returns whose. Their bodies are gone."""
    return await _change(connection, _DISCARD, ids)


async def retry_in_log(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Have parked events published as they are, after the cause is mended; returns which."""
    return await _change(connection, _RETRY, ids)


async def _change(connection: Connection, statement: str, ids: Sequence[UUID]) -> list[UUID]:
    cursor = await connection.execute(statement, {"ids": list(ids)})
    changed = [id_ for (id_,) in await cursor.fetchall()]
    await rescan(connection)
    return changed

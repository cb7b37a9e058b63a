"""Giving up events that cannot be published: a tombstone goes out in their place.

Consumers count on every sequence. The tombstone carries the event's id and place, under a type
that they know (`envelope.tombstone_of`): they advance past it, and nothing else happens.
Where no queue takes the tombstone either, the relay is done with it after a few tries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from outbox.operations.database import Connection, fetch, rescan

_FIELDS = """
event_id, source, aggregate_type, aggregate_id, sequence, type, version, created_at,
parked_at, attempts, last_error, payload::text AS payload
"""
_PARKED = "published_at IS NULL AND parked_at IS NOT NULL"
_STUCK = "published_at IS NULL AND (parked_at IS NOT NULL OR last_error = 'returned')"
_LIST = """
SELECT {fields} FROM outbox
 WHERE {which} AND (%(ids)s::uuid[] IS NULL OR event_id = ANY(%(ids)s))
 ORDER BY id
"""
# A binding of `order.#` takes the bare `order` too, where a longer type would be too long.
_DISCARD = f"""
UPDATE outbox
   SET type = CASE WHEN octet_length(aggregate_type) > 245 THEN aggregate_type
                   ELSE aggregate_type || '.discarded' END,
       version = 1, payload = '{{}}', parked_at = NULL, attempts = 0, last_error = NULL
 WHERE {_STUCK} AND event_id = ANY(%(ids)s)
RETURNING event_id
"""  # noqa: S608
_RETRY = f"""
UPDATE outbox SET parked_at = NULL, attempts = 0, last_error = NULL
 WHERE {_PARKED} AND event_id = ANY(%(ids)s)
RETURNING event_id
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Stuck:
    """An event that the broker refused for itself, or that no queue takes.

    `parked_at` is None for the latter: the relay goes on trying.
    """

    event_id: UUID
    source: str
    aggregate_type: str
    aggregate_id: str
    sequence: int
    type: str
    version: int
    created_at: datetime
    parked_at: datetime | None
    attempts: int
    last_error: str | None
    payload: str


async def parked_in_log(connection: Connection, ids: Sequence[UUID] | None = None) -> list[Stuck]:
    """Events that the broker refused for themselves, all or those with these ids, in order."""
    return await _list(connection, _PARKED, ids)


async def stuck_in_log(connection: Connection, ids: Sequence[UUID] | None = None) -> list[Stuck]:
    """The same, and events that came back because no queue takes them."""
    return await _list(connection, _STUCK, ids)


async def discard_in_log(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Put a tombstone in the place of stuck events; returns whose. Their bodies are gone.

    One that a relay is just publishing, because a queue takes it by now, goes out as it was.
    """
    return await _change(connection, _DISCARD, ids)


async def retry_in_log(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Have parked events published as they are, after the cause is mended; returns which."""
    return await _change(connection, _RETRY, ids)


async def _list(connection: Connection, which: str, ids: Sequence[UUID] | None) -> list[Stuck]:
    query = _LIST.format(fields=_FIELDS, which=which)
    return await fetch(connection, Stuck, query, {"ids": None if ids is None else list(ids)})


async def _change(connection: Connection, statement: str, ids: Sequence[UUID]) -> list[UUID]:
    cursor = await connection.execute(statement, {"ids": list(ids)})
    changed = [id_ for (id_,) in await cursor.fetchall()]
    await rescan(connection)
    return changed

"""Events that cannot be published: redrive them, or discard them for a tombstone each.

Invariant: no sequence is left out, because consumers count on every one. A tombstone keeps the
event's id and sequence under a type that consumers know (`event.tombstone_of`): they advance past
it, and nothing else happens (see decision 0703). Where no queue is bound for the tombstone either,
the relay marks it published after a few tries.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from outbox.log import operator_queries as outbox_sql
from outbox.log.row import StoredEvent
from outbox.operations.database import Connection, fetch
from outbox.postgres.notify import rescan


async def list_parked(
    connection: Connection, ids: Sequence[UUID] | None = None
) -> list[StoredEvent]:
    """Parked events, all of them or those with these ids, in order."""
    return await _list(connection, outbox_sql.PARKED, ids)


async def list_discardable(
    connection: Connection, ids: Sequence[UUID] | None = None
) -> list[StoredEvent]:
    """Parked events, and those that came back because no queue is bound for them."""
    return await _list(connection, outbox_sql.DISCARDABLE, ids)


async def discard(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Replace each of these events by a tombstone; returns their ids. The bodies are lost.

    An event that a relay is publishing at this moment, because it is routable again, goes out as
    it was.
    """
    return await _change(connection, outbox_sql.DISCARD, ids)


async def redrive(connection: Connection, ids: Sequence[UUID]) -> list[UUID]:
    """Have parked events published as they are, once the cause is mended; returns their ids."""
    return await _change(connection, outbox_sql.REDRIVE, ids)


async def _list(
    connection: Connection, which: str, ids: Sequence[UUID] | None
) -> list[StoredEvent]:
    parameters = {"ids": None if ids is None else list(ids)}
    return await fetch(
        connection, StoredEvent, outbox_sql.UNPUBLISHED_EVENTS.format(which=which), parameters
    )


async def _change(connection: Connection, statement: str, ids: Sequence[UUID]) -> list[UUID]:
    cursor = await connection.execute(statement, {"ids": list(ids)})
    changed = [id_ for (id_,) in await cursor.fetchall()]
    await rescan(connection)
    return changed

"""The inbox rows of a batch: locked in the order of their keys, stored in one statement."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import psycopg

from outbox.errors import TransactionEnded
from outbox.event import Stream
from outbox.inbox.position import Position

Connection = psycopg.AsyncConnection[Any]

_STREAMS = """
SELECT DISTINCT * FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[])
    AS s(source, aggregate_type, aggregate_id)
 ORDER BY source, aggregate_type, aggregate_id
"""

_CREATE = f"""
INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id)
SELECT %(consumer)s, s.* FROM ({_STREAMS}) s
ON CONFLICT DO NOTHING
"""  # noqa: S608

# A second statement: its snapshot is newer than the wait for the locks of the first.
_LOCK = f"""
SELECT source, aggregate_type, aggregate_id, last_sequence, last_event_id, blocked, parked
  FROM inbox JOIN ({_STREAMS}) s USING (source, aggregate_type, aggregate_id)
 WHERE consumer = %(consumer)s
 ORDER BY source, aggregate_type, aggregate_id
   FOR UPDATE OF inbox
"""  # noqa: S608

# The limit on the whole transaction takes the place of PostgreSQL's limit on an idle one: psycopg
# ends a pipeline with a Flush after its Sync, and the Flush switches that one off.
_BEGIN = """
SELECT set_config('lock_timeout', %s, true), set_config('transaction_timeout', %s, true),
       pg_current_xact_id()::text
"""

_STORE = """
UPDATE inbox SET last_sequence = s.last_sequence, last_event_id = s.last_event_id,
                 blocked = s.blocked, parked = s.parked
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(last_sequences)s::bigint[],
              %(last_event_ids)s::uuid[], %(blocked)s::boolean[], %(parked)s::int[])
    AS s(source, aggregate_type, aggregate_id, last_sequence, last_event_id, blocked, parked)
 WHERE inbox.consumer = %(consumer)s AND inbox.source = s.source
   AND inbox.aggregate_type = s.aggregate_type AND inbox.aggregate_id = s.aggregate_id
   AND pg_current_xact_id() = %(transaction_id)s::xid8
"""


LOCK_TIMEOUT = 5.0
"""Seconds that a transaction of the inbox waits for any lock before it gives way."""
TRANSACTION_TIMEOUT = 90.0
"""Seconds after which PostgreSQL ends a transaction of the inbox, and its connection with it."""


class Locked(dict[Stream, Position]):
    """Positions whose rows are locked, and the id of the transaction that locked them."""

    transaction_id: str


async def lock(
    connection: Connection,
    consumer: str,
    streams: Iterable[Stream],
    *,
    lock_timeout: float = LOCK_TIMEOUT,
    transaction_timeout: float = TRANSACTION_TIMEOUT,
) -> Locked:
    """Lock the rows of these streams until the transaction ends, creating missing ones.

    One round trip. Nothing in this transaction waits for a lock longer than `lock_timeout` seconds;
    after `transaction_timeout` seconds the server ends it, whatever its client does.
    """
    parameters = {"consumer": consumer, **columns(streams)}
    limits = [f"{seconds * 1000:.0f}ms" for seconds in (lock_timeout, transaction_timeout)]
    async with connection.pipeline():
        begun = await connection.execute(_BEGIN, limits)
        await connection.execute(_CREATE, parameters)
        cursor = await connection.execute(_LOCK, parameters)
    locked = Locked(
        (Stream(source, kind, id_), Position(*rest))
        for source, kind, id_, *rest in await cursor.fetchall()
    )
    [(*_, locked.transaction_id)] = await begun.fetchall()
    return locked


async def store(connection: Connection, consumer: str, positions: Locked) -> None:
    """Write back what has changed of locked rows.

    Raises `TransactionEnded` if this is another transaction than the one that locked them: its
    effects would be committed without the positions of those before.
    """
    values = positions.values()
    parameters = {
        "consumer": consumer,
        "transaction_id": positions.transaction_id,
        **columns(positions),
        "last_sequences": [position.last_sequence for position in values],
        "last_event_ids": [position.last_event_id for position in values],
        "blocked": [position.blocked for position in values],
        "parked": [position.parked for position in values],
    }
    stored = await connection.execute(_STORE, parameters)
    if stored.rowcount != len(positions):
        raise TransactionEnded("ended it", may_be_committed=True)


def columns(streams: Iterable[Stream]) -> dict[str, list[str]]:
    """Parameters for `unnest`."""
    listed = list(streams)
    return {
        "sources": [stream.source for stream in listed],
        "types": [stream.aggregate_type for stream in listed],
        "ids": [stream.aggregate_id for stream in listed],
    }

"""Doing without an event: kept for the record, and its place in the stream passed.

Whoever applies the event before a tombstone passes it, as if it had taken effect.
"""

from __future__ import annotations

import logging
from typing import Any

import psycopg

from outbox.event import Stream
from outbox.inbox import parked_events
from outbox.inbox.listing import Parked
from outbox.inbox.position import Position

log = logging.getLogger(__name__)

Connection = psycopg.AsyncConnection[Any]

_RECORD = """
INSERT INTO inbox_discarded (consumer, source, aggregate_type, aggregate_id, first_sequence,
                             last_sequence, event_id, reason, type, body, attempts, last_error,
                             last_traceback, parked_at, note)
SELECT consumer, source, aggregate_type, aggregate_id, sequence, sequence, event_id, reason, type,
       body, attempts, last_error, last_traceback, parked_at, %s
  FROM inbox_parked
 WHERE (consumer, source, aggregate_type, aggregate_id, sequence, event_id)
     = (%s, %s, %s, %s, %s, %s)
"""

_RECORD_MISSING = """
INSERT INTO inbox_discarded (consumer, source, aggregate_type, aggregate_id, first_sequence,
                             last_sequence, reason, note)
VALUES (%s, %s, %s, %s, %s, %s, 'missing', %s)
"""

_ENTOMB = """
UPDATE inbox_parked SET reason = 'discarded', next_attempt_at = NULL
 WHERE (consumer, source, aggregate_type, aggregate_id, sequence, event_id)
     = (%s, %s, %s, %s, %s, %s)
"""

_FIRST_HELD = """
SELECT min(sequence) FROM inbox_parked
 WHERE (consumer, source, aggregate_type, aggregate_id) = (%s, %s, %s, %s)
   AND sequence > %s AND reason <> 'forked'
"""


async def record(connection: Connection, event: Parked, note: str) -> None:
    """Keep the whole event in `inbox_discarded`."""
    log.warning("%s discards %s at %d", event.consumer, event.stream, event.sequence)
    await connection.execute(_RECORD, [note, *_key(event)])


async def record_missing(
    connection: Connection, consumer: str, stream: Stream, missing: tuple[int, int], note: str
) -> None:
    """Keep on record that nobody waits for these sequences any more."""
    log.warning("%s skips %s from %d to %d", consumer, stream, *missing)
    await connection.execute(_RECORD_MISSING, [*_of(consumer, stream), *missing, note])


async def entomb(connection: Connection, event: Parked) -> None:
    """Let whoever comes to this place of the stream pass it."""
    await connection.execute(_ENTOMB, _key(event))


async def pass_tombstones(
    connection: Connection, consumer: str, stream: Stream, position: Position
) -> None:
    """Move a locked position past all discarded events that are next."""
    while position.parked:
        waiting = await parked_events.at(connection, consumer, stream, position.last_sequence + 1)
        if waiting is None or not waiting.discarded:
            return
        passed = waiting.envelope
        await parked_events.remove(connection, consumer, stream, passed.sequence, passed.id)
        position.parked -= 1
        position.blocked = False
        position.advance(passed.sequence, passed.id)


async def first_held(
    connection: Connection, consumer: str, stream: Stream, after: int
) -> int | None:
    """The lowest sequence beyond `after` that is parked, if any."""
    cursor = await connection.execute(_FIRST_HELD, [*_of(consumer, stream), after])
    row = await cursor.fetchone()
    return None if row is None else row[0]


def _of(consumer: str, stream: Stream) -> list[object]:
    return [consumer, stream.source, stream.aggregate_type, stream.aggregate_id]


def _key(event: Parked) -> list[object]:
    return [*_of(event.consumer, event.stream), event.sequence, event.event_id]

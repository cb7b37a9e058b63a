"""Events that were begun: counted before their handler runs, forgotten when it has ended.

A count that is still there when an event comes again means that a process died in between.
"""

from __future__ import annotations

from typing import Any

import psycopg

from outbox.event import Envelope

Connection = psycopg.AsyncConnection[Any]

_BEGIN = """
INSERT INTO inbox_attempts AS a (consumer, source, aggregate_type, aggregate_id, sequence, attempts)
VALUES (%s, %s, %s, %s, %s, 1)
ON CONFLICT (consumer, source, aggregate_type, aggregate_id, sequence)
DO UPDATE SET attempts = greatest(a.attempts - %s, 0) + 1, last_at = clock_timestamp()
RETURNING attempts
"""

_FORGET = """
DELETE FROM inbox_attempts
 WHERE consumer = %s AND source = %s AND aggregate_type = %s AND aggregate_id = %s AND sequence = %s
"""

_FORGET_PASSED = """
DELETE FROM inbox_attempts a USING inbox i
 WHERE a.consumer = %s AND i.consumer = a.consumer AND i.source = a.source
   AND i.aggregate_type = a.aggregate_type AND i.aggregate_id = a.aggregate_id
   AND a.sequence <= i.last_sequence
"""


async def begin(
    connection: Connection, consumer: str, event: Envelope, *, outlived: int = 0
) -> int:
    """Count an attempt; returns how many have been begun with this one.

    So many before that the process has `outlived` are taken back.
    """
    cursor = await connection.execute(_BEGIN, [*_place(consumer, event), outlived])
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def forget(connection: Connection, consumer: str, event: Envelope) -> None:
    """The event's handler has ended, and the process lives."""
    await connection.execute(_FORGET, _place(consumer, event))


async def forget_passed(connection: Connection, consumer: str) -> None:
    """Forget the counts of events whose streams went on some other way, as by a discard."""
    await connection.execute(_FORGET_PASSED, [consumer])


def _place(consumer: str, event: Envelope) -> list[object]:
    stream = event.stream
    return [consumer, stream.source, stream.aggregate_type, stream.aggregate_id, event.sequence]

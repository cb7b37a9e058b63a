"""Where a consumer begins: explicitly, instead of at the first event of every stream.

A new consumer begins at 0 by itself: what it gets first of a stream has to be sequence 1, else it
is held as a gap. A baseline says which events it does without, or has had some other way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg

from outbox.event import Stream
from outbox.inbox import discarding, parked_events, positions
from outbox.inbox.operations import REDRIVE
from outbox.inbox.position import Position

Connection = psycopg.AsyncConnection[Any]

_LAST = """
SELECT source, aggregate_type, aggregate_id, last FROM outbox_streams
 WHERE %(types)s::text[] IS NULL OR aggregate_type = ANY(%(types)s)
"""

CHUNK = 1_000


async def baseline(
    connection: Connection,
    consumer: str,
    sequences: Mapping[Stream, int],
    *,
    only_new: bool = False,
) -> int:
    """Let a consumer go on after these sequences, whatever it has had; returns how many streams.

    0 means from the beginning: everything that is delivered again takes effect again. What is
    parked at or below its stream's sequence is let go, what is parked beyond it flows.

    With `only_new` a stream is left alone if the consumer has begun in it by now, and one of which
    it holds something goes on with that: for a consumer that runs meanwhile.
    """
    streams = sorted(sequences, key=str)
    changed = 0
    for start in range(0, len(streams), CHUNK):
        chunk = {stream: sequences[stream] for stream in streams[start : start + CHUNK]}
        changed += await _baseline(connection, consumer, chunk, only_new)
    return changed


async def producer_streams(
    producer: Connection, *, aggregate_types: list[str] | None = None
) -> dict[Stream, int]:
    """How far a producer's streams have come, by its own database: for a baseline at their end.

    Publish nothing of them meanwhile, or begin to consume before: what is written between this
    reading and the binding of the queue is a gap else, and shows as one.
    """
    cursor = await producer.execute(_LAST, {"types": aggregate_types})
    return {Stream(source, kind, id_): last for source, kind, id_, last in await cursor.fetchall()}


async def _baseline(
    connection: Connection, consumer: str, sequences: Mapping[Stream, int], only_new: bool
) -> int:
    async with connection.transaction():
        locked = await positions.lock(connection, consumer, sequences)
        for stream, position in list(locked.items()):
            last = sequences[stream]
            if only_new:
                if position.parked:
                    held = await discarding.first_held(connection, consumer, stream, 0)
                    last = last if held is None else held - 1
                if position.last_sequence > 0 or last == 0:
                    del locked[stream]
                    continue
            await _go_on_after(connection, consumer, stream, position, last)
        await positions.store(connection, consumer, locked)
        await connection.execute("SELECT pg_notify(%s, %s)", [REDRIVE, consumer])
    return len(locked)


async def _go_on_after(
    connection: Connection, consumer: str, stream: Stream, position: Position, last: int
) -> None:
    position.last_sequence, position.last_event_id, position.blocked = last, None, False
    if position.parked:
        position.parked -= await parked_events.let_go(connection, consumer, stream, through=last)
        await discarding.pass_tombstones(connection, consumer, stream, position)
        await parked_events.make_due(connection, consumer, stream, position.last_sequence + 1)

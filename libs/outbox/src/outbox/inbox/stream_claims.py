"""Retriers of several processes try different streams.

Invariant: while a stream is claimed, no other retrier begins with it. So none waits for the row
that another has locked, and the attempts of two are not counted as if a process had died between.
A claim is a session-level advisory lock (PostgreSQL, "Advisory Locks"): no lease and no clock.
Order does not need it: if the claim is lost with its connection, the rows are locked as ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from outbox.event import Stream
from outbox.inbox.parked_events import IS_DUE
from outbox.inbox.position import Connection, columns

AT_ONCE = 10
"""So many streams are claimed together: what is slow in one process is left to others."""

# The rows of a function are tested one by one, in their order, until there are enough. What another
# process has finished meanwhile is due no longer.
_CLAIM = f"""
SELECT source, aggregate_type, aggregate_id
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[])
    AS s(source, aggregate_type, aggregate_id)
 WHERE CASE WHEN {IS_DUE} THEN pg_try_advisory_lock(hashtextextended(
         concat_ws('/', 'retry', %(consumer)s::text, source, aggregate_type, aggregate_id), 0)) END
 LIMIT {AT_ONCE}
"""  # noqa: S608
_RELEASE = "SELECT pg_advisory_unlock_all()"


@dataclass(frozen=True, slots=True)
class StreamClaims:
    """The claims of one retrier, on a connection that has no other advisory locks."""

    connection: Connection
    consumer: str

    @asynccontextmanager
    async def some(self, streams: Sequence[Stream]) -> AsyncIterator[list[Stream]]:
        """Claim the first few of these that are due and free, until the block ends."""
        values = {"consumer": self.consumer, **columns(streams)}
        try:
            cursor = await self.connection.execute(_CLAIM, values)
            yield [Stream(*row) for row in await cursor.fetchall()]
        finally:
            await self.connection.execute(_RELEASE)

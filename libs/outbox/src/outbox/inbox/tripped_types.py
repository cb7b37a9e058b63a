"""The table `inbox_tripped`: the event types of a consumer that are not handled for now.

Invariant: a type is tripped for all processes while it has a row, and one process at a time probes:
the one that claimed it and extends its claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from outbox.inbox.position import Connection
from outbox.postgres.notify import INBOX_CHANGES

# All processes of the consumer hear of both changes when they are committed.
_TRIP = f"""
WITH tripped AS (
  INSERT INTO inbox_tripped (consumer, type, cause, next_probe_at)
  VALUES (%s, %s, %s, clock_timestamp() + make_interval(secs => %s))
  ON CONFLICT DO NOTHING RETURNING consumer
)
SELECT pg_notify('{INBOX_CHANGES}', consumer) FROM tripped
"""  # noqa: S608
_ALL = """
SELECT consumer, type, cause, tripped_at, probes, next_probe_at,
       extract(epoch FROM next_probe_at - clock_timestamp())::float8 AS seconds_left
  FROM inbox_tripped
 WHERE %(consumer)s::text IS NULL OR consumer = %(consumer)s
 ORDER BY consumer, type
"""
# The number of failed probes is part of the key: a process that was stalled changes nothing after
# another one has probed.
_EXTEND = """
UPDATE inbox_tripped SET next_probe_at = clock_timestamp() + make_interval(secs => %(seconds)s)
 WHERE consumer = %(consumer)s AND type = %(type)s AND probes = %(probes)s
"""
_CLAIM = f"{_EXTEND} AND next_probe_at <= clock_timestamp()"
_PROBE_FAILED = _EXTEND.replace("SET", "SET probes = probes + 1,")
_RESET = f"""
WITH gone AS (
  DELETE FROM inbox_tripped WHERE consumer = %s AND type = %s RETURNING consumer
)
SELECT pg_notify('{INBOX_CHANGES}', consumer) FROM gone
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class TrippedType:
    """An event type whose events wait; `probes` of them were tried since, and failed."""

    consumer: str
    type: str
    cause: str
    tripped_at: datetime
    probes: int
    next_probe_at: datetime
    seconds_left: float
    """Until the next probe, when it was read."""


@dataclass(frozen=True, slots=True)
class TrippedTypes:
    """The tripped types of one consumer, or of all of them for questions."""

    connection: Connection
    consumer: str | None = None

    async def trip(self, event_type: str, cause: str, *, first_probe: float) -> None:
        """Let all processes know; nothing changes if they do."""
        await self.connection.execute(_TRIP, [self.consumer, event_type, cause, first_probe])

    async def all(self) -> Sequence[TrippedType]:
        """What is tripped now."""
        cursor = self.connection.cursor(row_factory=class_row(TrippedType))
        return await (await cursor.execute(_ALL, {"consumer": self.consumer})).fetchall()

    async def claim_probe(self, tripped: TrippedType, *, lease: float) -> bool:
        """Whether it is time for a probe, and this process makes it within so many seconds."""
        return await self._change(_CLAIM, tripped, lease)

    async def extend_probe(self, tripped: TrippedType, *, lease: float) -> bool:
        """Let no other process probe for so many seconds; false if another one has."""
        return await self._change(_EXTEND, tripped, lease)

    async def probe_failed(self, tripped: TrippedType, *, delay: float) -> bool:
        """Probe again after so many seconds; false if another process has meanwhile."""
        return await self._change(_PROBE_FAILED, tripped, delay)

    async def reset(self, event_type: str) -> bool:
        """Let the type be handled again; false if it has not tripped."""
        cursor = await self.connection.execute(_RESET, [self.consumer, event_type])
        return cursor.rowcount == 1

    async def _change(self, statement: str, tripped: TrippedType, seconds: float) -> bool:
        key = {"consumer": self.consumer, "type": tripped.type, "probes": tripped.probes}
        cursor = await self.connection.execute(statement, {**key, "seconds": seconds})
        return cursor.rowcount == 1

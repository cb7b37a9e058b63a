"""Reading and marking the log, on the relay's own connection, each statement by itself.

No transaction stays open while the broker works: the connection is in autocommit.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg

from outbox.buckets import BUCKETS
from outbox.envelope import Envelope, Stream

Connection = psycopg.AsyncConnection[tuple[object, ...]]

_SNAPSHOT = """
SELECT pg_snapshot_xmin(s)::text::bigint, pg_snapshot_xmax(s)::text::bigint
  FROM pg_current_snapshot() s
"""

# Served by the partial index outbox_unpublished (id, bucket), in its order.
_LOOK = """
SELECT id, event_id, source, aggregate_type, aggregate_id, sequence, type, version, created_at,
       payload::text, correlation_id, causation_id, traceparent, attempts
  FROM outbox
 WHERE published_at IS NULL AND parked_at IS NULL AND id > %(floor)s
   AND bucket = ANY(%(buckets)s)
   AND aggregate_type || '/' || aggregate_id <> ALL(%(held)s)
 ORDER BY id
 LIMIT %(limit)s
"""

# "published_at IS NULL" lets each partition use its partial index; without it every
# partition is read in full.
_MARK = """
UPDATE outbox SET published_at = clock_timestamp(), last_error = NULL
 WHERE id = ANY(%(ids)s) AND published_at IS NULL
"""

_FAILED = """
UPDATE outbox SET attempts = attempts + 1, last_error = failed.error
  FROM unnest(%(ids)s::bigint[], %(errors)s::text[]) AS failed(id, error)
 WHERE outbox.id = failed.id AND published_at IS NULL
"""

_BACKLOG = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
  FROM (SELECT created_at FROM outbox WHERE published_at IS NULL ORDER BY id LIMIT 100000) oldest
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the log that is not yet published."""

    id: int
    attempts: int
    envelope: Envelope


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions were over: all below `xmin`; none at `xmax` or above had begun."""

    xmin: int
    xmax: int


class Log:
    """The outbox table as the relay sees it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def snapshot(self) -> Snapshot:
        """What is settled by now (PostgreSQL, "Transaction ID and Snapshot Information")."""
        cursor = await self._connection.execute(_SNAPSHOT)
        xmin, xmax = await cursor.fetchone() or (0, 0)
        return Snapshot(xmin, xmax)  # type: ignore[arg-type]

    async def look(
        self, *, floor: int, lanes: Iterable[int], of: int, held: Iterable[str], limit: int
    ) -> list[Entry]:
        """The oldest unpublished events above the floor, of these lanes, in order of id."""
        parameters = {
            "floor": floor,
            "buckets": buckets_of(lanes, of),
            "held": list(held),
            "limit": limit,
        }
        cursor = await self._connection.execute(_LOOK, parameters)
        return [_entry(row) for row in await cursor.fetchall()]

    async def mark_published(self, ids: Sequence[int]) -> None:
        """Confirmed events never come up again, until they are replayed."""
        await self._connection.execute(_MARK, {"ids": list(ids)})

    async def record_failures(self, errors: dict[int, str]) -> None:
        """Make visible why events are still here."""
        parameters = {"ids": list(errors), "errors": list(errors.values())}
        await self._connection.execute(_FAILED, parameters)

    async def backlog(self) -> tuple[int, float]:
        """How many events wait (counted to 100,000), and the age of the oldest in seconds."""
        cursor = await self._connection.execute(_BACKLOG)
        count, age = await cursor.fetchone() or (0, 0.0)
        return count, age  # type: ignore[return-value]


def buckets_of(lanes: Iterable[int], of: int) -> list[int]:
    """The buckets that make up these lanes, of so many lanes in all."""
    wanted = set(lanes)
    return [bucket for bucket in range(BUCKETS) if bucket % of in wanted]


def _entry(row: Sequence[object]) -> Entry:
    (
        id_,
        event_id,
        source,
        kind,
        aggregate,
        sequence,
        type_,
        version,
        time,
        body,
        *context,
        tries,
    ) = row
    correlation_id, causation_id, traceparent = context
    envelope = Envelope(
        id=event_id,  # type: ignore[arg-type]
        stream=Stream(source, kind, aggregate),  # type: ignore[arg-type]
        sequence=sequence,  # type: ignore[arg-type]
        type=type_,  # type: ignore[arg-type]
        version=version,  # type: ignore[arg-type]
        time=time,  # type: ignore[arg-type]
        payload=body.encode(),  # type: ignore[attr-defined]
        correlation_id=correlation_id,  # type: ignore[arg-type]
        causation_id=causation_id,  # type: ignore[arg-type]
        traceparent=traceparent,  # type: ignore[arg-type]
    )
    return Entry(id_, tries, envelope)  # type: ignore[arg-type]

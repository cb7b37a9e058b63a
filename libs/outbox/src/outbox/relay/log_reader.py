"""Reading and marking the log, each statement by itself: no transaction is open while the
broker works.

The connections are in autocommit. The one that reads has the client encoding SQL_ASCII, with
which the driver hands out texts as the bytes they came in (psycopg, "Strings adaptation"), and
the time zone UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import psycopg

from outbox.errors import DatabaseEncoding
from outbox.log.row import OutboxRow

Connection = psycopg.AsyncConnection[Any]

MAX_WINDOW_BYTES = 8 * 1024 * 1024

_DRAWN = "SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox_id_seq"
# Whoever inserts has this lock before the first id is drawn, and until the end of its transaction,
# which is visible by then (PostgreSQL, "Table-Level Locks").
_WRITERS = """
SELECT DISTINCT virtualtransaction FROM pg_locks
 WHERE locktype = 'relation' AND relation = 'outbox'::regclass AND mode = 'RowExclusiveLock'
   AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_OURS = "published_at IS NULL AND parked_at IS NULL AND id > %(floor)s"
_OF_LANES = " AND get_bit(%(lanes)s::varbit, bucket %% %(of)s) = 1"
# NOT IN over a query, because that is hashed; `<> ALL` of a parameter compares one by one.
_NOT_IN_FLIGHT = " AND id NOT IN (SELECT unnest(%(in_flight)s::bigint[]))"
_NOT_HELD = " AND aggregate_type || '/' || aggregate_id NOT IN (SELECT unnest(%(held)s::text[]))"

# Served by the partial index outbox_unpublished (id, bucket), in its order. What counts is what is
# sent: only of a compressed payload is that not known without unpacking it. ROWS spares the search
# for peers of each row.
_LOOK = """
SELECT id, event_id::text, source, aggregate_type, aggregate_id, sequence, type, version,
       replace(created_at::text, ' ', 'T') || ':00', floor(date_part('epoch', created_at))::bigint,
       payload::text, correlation_id, causation_id, traceparent, attempts
  FROM (
    SELECT *, sum(size) OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) - size AS before
      FROM (SELECT *, CASE WHEN pg_column_compression(payload) IS NULL THEN pg_column_size(payload)
                           ELSE octet_length(payload::text) END AS size
              FROM outbox WHERE {condition} ORDER BY id LIMIT %(limit)s) AS oldest
  ) AS sized
 WHERE before < %(bytes)s
 ORDER BY id
"""

_LOWEST = "SELECT min(id) FROM outbox WHERE {condition} AND id <= %(ceiling)s"

# "published_at IS NULL" lets each partition use its partial index; without it every
# partition is read in full. The times spare the partitions of other days.
_MARK = """
UPDATE outbox SET published_at = clock_timestamp(), last_error = NULL
 WHERE id = ANY(%s::bigint[]) AND published_at IS NULL
   AND created_at >= to_timestamp(%s) AND created_at < to_timestamp(%s)
"""

# A log that was empty a minute ago has no statistics: the planner would read and sort the whole
# backlog for each window instead of following the index.
_FOLLOW_THE_INDEX = """
SELECT set_config('enable_sort', 'off', false), set_config('enable_bitmapscan', 'off', false),
       set_config('enable_seqscan', 'off', false)
"""

_FAILED = """
UPDATE outbox SET attempts = attempts + 1, last_error = failed.error,
                  parked_at = CASE WHEN failed.parked THEN clock_timestamp() END
  FROM unnest(%s::bigint[], %s::text[], %s::boolean[]) AS failed(id, error, parked)
 WHERE outbox.id = failed.id AND published_at IS NULL
"""

# Parked rows are few, but stand among all that are unpublished: asked for now and then only.
_PARKED = """
SELECT aggregate_type || '/' || aggregate_id, min(id) FROM outbox
 WHERE parked_at IS NOT NULL AND published_at IS NULL GROUP BY 1
"""

_BACKLOG = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
  FROM (SELECT created_at FROM outbox WHERE published_at IS NULL AND parked_at IS NULL
         ORDER BY id LIMIT 100000) waiting
"""


class LogReader:
    """The log as it is looked at, for some lanes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lanes: dict[str, object] = {}
        self._fitting: int | None = None
        self._of_lanes = ""

    async def open(self) -> None:
        """Raises `DatabaseEncoding` if texts are not UTF-8."""
        cursor = await self._connection.execute("SHOW server_encoding")
        (encoding,) = await cursor.fetchone() or ("",)
        if encoding not in (b"UTF8", "UTF8"):
            raise DatabaseEncoding(str(encoding))
        await self._connection.execute(_FOLLOW_THE_INDEX)

    def choose(self, lanes: Collection[int], of: int) -> None:
        """Look at these lanes only, of so many in all."""
        everything = len(lanes) == of
        bits = "".join("1" if lane in lanes else "0" for lane in range(of))
        self._of_lanes = "" if everything else _OF_LANES
        self._lanes = {} if everything else {"lanes": bits, "of": of}

    async def drawn(self) -> int:
        """The highest id that has been drawn, committed or not."""
        cursor = await self._connection.execute(_DRAWN)
        [(id_,)] = await cursor.fetchall()
        return int(id_)

    async def writers(self) -> frozenset[bytes]:
        """The transactions that have written to the log and are not over."""
        cursor = await self._connection.execute(_WRITERS)
        return frozenset([transaction for (transaction,) in await cursor.fetchall()])

    async def look(
        self, *, floor: int, in_flight: str | None, held: Sequence[str], limit: int
    ) -> list[OutboxRow]:
        """The oldest unpublished events above the floor, in order of id.

        `in_flight` are ids to leave out, as a PostgreSQL array. The result ends at `limit`
        events or where it has 8 MiB of payload, with at least one event if there is any.
        """
        condition, parameters = self._condition(floor, in_flight, held)
        parameters |= {"limit": min(limit, self._fitting or limit), "bytes": MAX_WINDOW_BYTES}
        query = _LOOK.format(condition=condition)
        cursor = await self._connection.execute(query, parameters)
        entries = [OutboxRow(*row) for row in await cursor.fetchall()]
        self._note_size(entries, limit)
        return entries

    @property
    def cut_short(self) -> bool:
        """Whether the last look ended for its size: there may be more behind it."""
        return self._fitting is not None

    def _note_size(self, entries: Sequence[OutboxRow], limit: int) -> None:
        """Where 8 MiB are few events, the next look does not unpack a thousand to find that out."""
        full = (
            len(entries) < limit
            and sum(len(entry.payload) for entry in entries) >= MAX_WINDOW_BYTES
        )
        self._fitting = 2 * len(entries) if full else None

    async def lowest(
        self, *, ceiling: int, in_flight: str | None, held: Sequence[str]
    ) -> int | None:
        """The lowest unpublished id at or below the ceiling that is neither in flight nor held."""
        condition, parameters = self._condition(0, in_flight, held)
        query = _LOWEST.format(condition=condition)
        cursor = await self._connection.execute(query, parameters | {"ceiling": ceiling})
        [(id_,)] = await cursor.fetchall()
        return id_ if id_ is None else int(id_)

    def _condition(
        self, floor: int, in_flight: str | None, held: Sequence[str]
    ) -> tuple[str, dict[str, object]]:
        condition, parameters = _OURS + self._of_lanes, {"floor": floor, **self._lanes}
        if in_flight:
            condition += _NOT_IN_FLIGHT
            parameters["in_flight"] = in_flight
        if held:
            condition += _NOT_HELD
            parameters["held"] = list(held)
        return condition, parameters


class LogMarker:
    """The log as it is written to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def published(self, entries: Sequence[OutboxRow]) -> None:
        """Confirmed events never come up again, until they are replayed."""
        seconds = [entry.epoch for entry in entries]
        ids = array_of(entry.id for entry in entries)
        await self._connection.execute(_MARK, [ids, min(seconds), max(seconds) + 1])

    async def failed(self, errors: dict[int, str], *, parked: Collection[int] = ()) -> None:
        """Make visible why events are still here; park those that can never be sent."""
        parameters = [list(errors), list(errors.values()), [id_ in parked for id_ in errors]]
        await self._connection.execute(_FAILED, parameters)

    async def parked(self) -> dict[str, int]:
        """Aggregates with a parked event, each with its lowest id."""
        cursor = await self._connection.execute(_PARKED)
        return dict(await cursor.fetchall())

    async def backlog(self) -> tuple[int, float]:
        """How many events wait (counted to 100,000), and the age of the oldest in seconds."""
        cursor = await self._connection.execute(_BACKLOG)
        count, age = await cursor.fetchone() or (0, 0.0)
        return count, age


def array_of(ids: Iterable[int]) -> str:
    """A PostgreSQL array, made at once instead of number by number."""
    return "{" + ",".join(map(str, ids)) + "}"

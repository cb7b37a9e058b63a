"""What the relay asks of the outbox table: read a window, mark it, move scheduled events.

Invariant: each statement is a transaction of its own, so none is open while the broker works. The
connections are in autocommit. The reader's connection has the client encoding SQL_ASCII, with
which the driver hands out texts as the bytes they came in (psycopg, "Strings adaptation"), and the
time zone UTC.

One file, because it is the one place with the relay's SQL on the tables `outbox`,
`outbox_streams` and `outbox_scheduled`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import dict_row

from outbox.errors import DatabaseEncoding
from outbox.event import Envelope, Stream
from outbox.log.row import OutboxRow
from outbox.postgres.controls import Valve
from outbox.postgres.notify import rescan

Connection = psycopg.AsyncConnection[Any]

MAX_WINDOW_BYTES = 8 * 1024 * 1024

# A transaction that inserts has this lock before it draws its first id, and keeps it until its rows
# are visible (PostgreSQL, "Table-Level Locks"). See decision 0405. The id has to be read before the
# locks: these depend on it, so that no plan can read them first.
_OBSERVE = """
SELECT highest, writers
  FROM (SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM outbox_id_seq) ids(highest)
 CROSS JOIN LATERAL (
   SELECT array_agg(DISTINCT virtualtransaction) FROM pg_locks
    WHERE highest IS NOT NULL AND locktype = 'relation' AND relation = 'outbox'::regclass
      AND mode = 'RowExclusiveLock' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
 ) locks(writers)
"""

_UNPUBLISHED = "published_at IS NULL AND parked_at IS NULL AND id > %(above)s"
_OF_LANES = " AND get_bit(%(lanes)s::varbit, bucket %% %(of)s) = 1"
# NOT IN over a query, because that is hashed; `<> ALL` of a parameter compares one by one.
_NOT_IN_FLIGHT = " AND id NOT IN (SELECT unnest(%(in_flight)s::bigint[]))"  # see decision 0402
_NOT_BACKED_OFF = (
    " AND aggregate_type || '/' || aggregate_id NOT IN (SELECT unnest(%(backed_off)s::text[]))"
)

# The partial index outbox_unpublished (id, bucket) serves this in its order. The bytes that count
# are those sent: a compressed payload has to be unpacked to know its size. ROWS spares PostgreSQL
# the search for peers of each row. The columns are the fields of `OutboxRow`, in their order.
_FETCH = """
SELECT id, event_id::text, source, aggregate_type, aggregate_id, sequence, type, version,
       replace(created_at::text, ' ', 'T') || ':00' AS time,
       floor(date_part('epoch', created_at))::bigint AS epoch,
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

_LOWEST = "SELECT min(id) FROM outbox WHERE {condition} AND id <= %(up_to)s"

# With `published_at IS NULL` each partition uses its partial index; without it every partition is
# read in full. The times spare the partitions of other days. Its commit does not wait for the disk:
# where PostgreSQL loses the mark with its memory, the event goes again (decision 1705).
_MARK = """
UPDATE outbox SET published_at = clock_timestamp(), last_error = NULL
 WHERE id = ANY(%s::bigint[]) AND published_at IS NULL
   AND created_at >= to_timestamp(%s) AND created_at < to_timestamp(%s)
   AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL
"""

# An outbox table that was empty a minute ago has no statistics: the planner would read and sort the
# whole backlog for each window instead of following the index. See decision 0402. And it would plan
# each window anew, which costs more than to read a short one; see decision 1716.
_FOLLOW_THE_INDEX = """
SELECT set_config('enable_sort', 'off', false), set_config('enable_bitmapscan', 'off', false),
       set_config('enable_seqscan', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false)
"""
_FIND_BY_INDEX = """
SELECT set_config('enable_seqscan', 'off', false),
       set_config('plan_cache_mode', 'force_generic_plan', false)
"""

# No join: where the outbox table has no statistics, one would read the whole backlog.
_FAILED = """
UPDATE outbox SET attempts = attempts + 1, last_error = %s,
                  parked_at = CASE WHEN %s THEN clock_timestamp() END
 WHERE id = ANY(%s::bigint[]) AND published_at IS NULL
"""

# Parked rows are few, but the index has them among all unpublished ones: ask for them rarely.
_PARKED = """
SELECT aggregate_type || '/' || aggregate_id, min(id) FROM outbox
 WHERE parked_at IS NOT NULL AND published_at IS NULL GROUP BY 1
"""

# An event is published after its creation: the first time bounds both columns, and the times spare
# the partitions of other days. Both halves see the table as it was before the statement.
_UNPUBLISH = """
WITH unpublished AS (
  UPDATE outbox SET published_at = NULL, attempts = 0, last_error = NULL
   WHERE event_id = ANY(%(ids)s) AND published_at >= %(first)s
     AND created_at BETWEEN %(first)s AND %(last)s
  RETURNING event_id
)
SELECT event_id, true FROM unpublished
 UNION ALL
SELECT event_id, false FROM outbox
 WHERE published_at IS NULL AND event_id = ANY(%(ids)s)
   AND created_at BETWEEN %(first)s AND %(last)s
"""

_BACKLOG = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(created_at)), 0)::float8
  FROM (SELECT created_at FROM outbox WHERE published_at IS NULL AND parked_at IS NULL
         ORDER BY id LIMIT 100000) waiting
"""


# `statement_timestamp()` is constant during the statement, so the index on due_at serves it. With
# `clock_timestamp()` every scheduled event would be read each time. A range is worth the index to
# PostgreSQL even where it has no statistics, and each row is found by its whole key: decision 1660.
_DUE = "due_at BETWEEN '-infinity' AND statement_timestamp()"
MOVE = f"""
WITH free AS (
  SELECT e.source, e.key
    FROM (SELECT * FROM outbox_scheduled WHERE {_DUE} ORDER BY due_at FOR UPDATE SKIP LOCKED) e
   CROSS JOIN LATERAL (
     SELECT FROM outbox_streams s
      WHERE s.source = e.source AND s.aggregate_type = e.aggregate_type
        AND s.aggregate_id = e.aggregate_id
        FOR UPDATE SKIP LOCKED) s
   LIMIT %(limit)s
), fresh AS (
  SELECT source, key FROM outbox_scheduled e
   WHERE {_DUE}
     AND (SELECT true FROM outbox_streams s
           WHERE s.source = e.source AND s.aggregate_type = e.aggregate_type
             AND s.aggregate_id = e.aggregate_id) IS NULL
   ORDER BY due_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), chosen AS MATERIALIZED (
  SELECT * FROM free UNION ALL SELECT * FROM fresh
), due AS (
  DELETE FROM outbox_scheduled
   WHERE source = ANY(ARRAY(SELECT source FROM chosen)) AND key = ANY(ARRAY(SELECT key FROM chosen))
     AND ((source, key) IN (SELECT source, key FROM chosen)) IS TRUE
  RETURNING *
), stream AS (
  INSERT INTO outbox_streams AS s (source, aggregate_type, aggregate_id, last)
  SELECT source, aggregate_type, aggregate_id, count(*) FROM due
   GROUP BY source, aggregate_type, aggregate_id ORDER BY source, aggregate_type, aggregate_id
  ON CONFLICT (source, aggregate_type, aggregate_id) DO UPDATE SET last = s.last + excluded.last
  RETURNING source, aggregate_type, aggregate_id, last
), moved AS (
  INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence, type,
                      version, payload, correlation_id, causation_id, traceparent)
  SELECT event_id, bucket, source, aggregate_type, aggregate_id,
         last - count(*) OVER (PARTITION BY source, aggregate_type, aggregate_id)
              + row_number() OVER (PARTITION BY source, aggregate_type, aggregate_id
                                   ORDER BY due_at, key),
         type, version, payload, correlation_id, causation_id, traceparent
    FROM due JOIN stream USING (source, aggregate_type, aggregate_id)
   ORDER BY due_at, key
  RETURNING 1
)
SELECT count(*) FROM moved
"""  # noqa: S608

_NEXT_DUE = (
    "SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM outbox_scheduled"
)

_ALL = """
SELECT id, event_id, source, aggregate_type, aggregate_id, sequence, type, version,
       created_at AS time, payload::text, correlation_id, causation_id, traceparent
  FROM outbox {condition} ORDER BY id
"""
_MARK_IDS = "UPDATE outbox SET published_at = clock_timestamp() WHERE id = ANY(%s)"


class OutboxReader:
    """Reads unpublished events of some lanes."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lanes: dict[str, object] = {}
        self._fitting: int | None = None
        self._of_lanes = ""

    async def open(self) -> None:
        """Prepare the connection. Raises `DatabaseEncoding` if texts are not UTF-8."""
        cursor = await self._connection.execute("SHOW server_encoding")
        (encoding,) = await cursor.fetchone() or ("",)
        if encoding not in (b"UTF8", "UTF8"):
            raise DatabaseEncoding(str(encoding))
        await self._connection.execute(_FOLLOW_THE_INDEX)

    def select_lanes(self, lanes: Collection[int], of: int) -> None:
        """From now on read only these lanes, `of` so many in all."""
        everything = len(lanes) == of
        bits = "".join("1" if lane in lanes else "0" for lane in range(of))
        self._of_lanes = "" if everything else _OF_LANES
        self._lanes = {} if everything else {"lanes": bits, "of": of}

    async def observe(self) -> tuple[int, frozenset[bytes]]:
        """The highest id that any transaction has drawn, committed or not; and after that, the open
        transactions that have written to the outbox table."""
        cursor = await self._connection.execute(_OBSERVE)
        [(highest, writers)] = await cursor.fetchall()
        return int(highest), frozenset(writers or ())

    async def fetch(
        self, *, above: int, in_flight: str | None, backed_off: Sequence[str], limit: int
    ) -> list[OutboxRow]:
        """The oldest unpublished events with an id above `above`, in order of id.

        `in_flight` are ids to leave out, as a PostgreSQL array; `backed_off` are aggregates to
        leave out. The result ends at `limit` events or at 8 MiB of payload. It has at least one
        event if there is any.
        """
        condition, parameters = self._condition(above, in_flight, backed_off)
        parameters |= {"limit": min(limit, self._fitting or limit), "bytes": MAX_WINDOW_BYTES}
        query = _FETCH.format(condition=condition)
        cursor = await self._connection.execute(query, parameters)
        rows = [OutboxRow(*row) for row in await cursor.fetchall()]
        self._note_size(rows, limit)
        return rows

    @property
    def cut_short(self) -> bool:
        """Whether the last fetch ended for its size, so that more may wait behind it."""
        return self._fitting is not None

    def _note_size(self, rows: Sequence[OutboxRow], limit: int) -> None:
        """Where 8 MiB are few events, the next fetch need not unpack a thousand to notice."""
        full = len(rows) < limit and sum(len(row.payload) for row in rows) >= MAX_WINDOW_BYTES
        self._fitting = 2 * len(rows) if full else None

    async def lowest_unpublished(
        self, *, up_to: int, in_flight: str | None, backed_off: Sequence[str]
    ) -> int | None:
        """The lowest unpublished id up to and including `up_to`, with the same exceptions."""
        condition, parameters = self._condition(0, in_flight, backed_off)
        query = _LOWEST.format(condition=condition)
        cursor = await self._connection.execute(query, parameters | {"up_to": up_to})
        [(id_,)] = await cursor.fetchall()
        return id_ if id_ is None else int(id_)

    def _condition(
        self, above: int, in_flight: str | None, backed_off: Sequence[str]
    ) -> tuple[str, dict[str, object]]:
        condition, parameters = _UNPUBLISHED + self._of_lanes, {"above": above, **self._lanes}
        if in_flight:
            condition += _NOT_IN_FLIGHT
            parameters["in_flight"] = in_flight
        if backed_off:
            condition += _NOT_BACKED_OFF
            parameters["backed_off"] = list(backed_off)
        return condition, parameters


class OutboxMarker:
    """Marks what became of events, and counts those that wait."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(self) -> None:
        """Prepare the connection."""
        await self._connection.execute(_FIND_BY_INDEX)

    async def mark_published(self, rows: Sequence[OutboxRow]) -> None:
        """Confirmed events are not read again, until a replay."""
        seconds = [row.epoch for row in rows]
        ids = array_of(row.id for row in rows)
        await self._connection.execute(_MARK, [ids, min(seconds), max(seconds) + 1])

    async def mark_failed(self, errors: dict[int, str], *, parked: Collection[int] = ()) -> None:
        """Store why events are still unpublished; park those that can never be sent."""
        alike: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
        for id_, error in errors.items():
            alike[error, id_ in parked].append(id_)
        for (error, is_parked), ids in alike.items():
            await self._connection.execute(_FAILED, [error, is_parked, array_of(ids)])

    async def parked(self) -> dict[str, int]:
        """Aggregates with a parked event, each with its lowest id."""
        cursor = await self._connection.execute(_PARKED)
        return dict(await cursor.fetchall())

    async def read_controls(self, valve: Valve) -> None:
        """Read what a person has ordered about the relay."""
        await valve.read(self._connection)

    async def backlog(self) -> tuple[int, float]:
        """How many events wait (counted to 100,000), and the age of the oldest in seconds."""
        cursor = await self._connection.execute(_BACKLOG)
        count, age = await cursor.fetchone() or (0, 0.0)
        return count, age


async def unpublish(connection: Connection, events: Mapping[UUID, datetime]) -> dict[UUID, bool]:
    """Have published events published again; `events` are ids with the times of their creation.

    Returns true for these, and false for those that were not published yet. Others are not kept.
    """
    times = events.values()
    parameters = {"ids": list(events), "first": min(times), "last": max(times)}
    cursor = await connection.execute(_UNPUBLISH, parameters)
    found = dict(await cursor.fetchall())
    await rescan(connection)
    return found


class Schedule:
    """Moves scheduled events into the outbox table when they are due.

    One statement moves events and gives them their sequences. A relay killed before its commit
    leaves them scheduled; after it, they are in the outbox table. Relays that move at the same time
    move different events. None waits for a stream that an open transaction has locked: its events
    move the next time.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def move_due(self, *, limit: int) -> int:
        """Move due events, about `limit` at a time; returns how many.

        Events of a locked stream do not count towards the limit: they would hide those behind them.
        """
        cursor = await self._connection.execute(MOVE, {"limit": limit})
        (moved,) = await cursor.fetchone() or (0,)
        return int(moved)

    async def next_due(self) -> float | None:
        """Seconds until the next event is due, at least 0; None if nothing is scheduled."""
        cursor = await self._connection.execute(_NEXT_DUE)
        (seconds,) = await cursor.fetchone() or (None,)
        return None if seconds is None else max(0.0, float(seconds))


def array_of(ids: Iterable[int]) -> str:
    """A PostgreSQL array as text: faster than handing the driver number by number."""
    return "{" + ",".join(map(str, ids)) + "}"


async def unpublished(connection: Connection) -> list[tuple[int, Envelope]]:
    """All unpublished events with their ids, in order, for tests without a relay."""
    return await _all(connection, "WHERE published_at IS NULL AND parked_at IS NULL")


async def emitted(connection: Connection) -> list[tuple[int, Envelope]]:
    """All events with their ids, in order, for tests."""
    return await _all(connection, "")


async def _all(connection: Connection, condition: str) -> list[tuple[int, Envelope]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_ALL.format(condition=condition))
        return [(row.pop("id"), _envelope(row)) for row in await cursor.fetchall()]


async def mark_published(connection: Connection, ids: list[int]) -> None:
    """Mark these rows published, for tests without a relay."""
    await connection.execute(_MARK_IDS, [ids])


def _envelope(row: dict[str, Any]) -> Envelope:
    stream = Stream(row.pop("source"), row.pop("aggregate_type"), row.pop("aggregate_id"))
    payload = row.pop("payload").encode()
    return Envelope(id=row.pop("event_id"), stream=stream, payload=payload, **row)

"""The table `inbox_missing`: streams of which events are known that have not arrived.

Invariant: a row's `missing` are the sequences beyond the position, up to the last that is known,
that are not parked either. A row without any is removed. Nothing here changes a stream: what is
missing is asked for, and comes as an event like any other.

One file, because it has all SQL on the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from psycopg.types.multirange import Multirange

from outbox.event import MAX_SEQUENCE, Envelope, Stream
from outbox.inbox.position import Connection, columns
from outbox.inbox.whole_keys import is_found, position_of, stream_is
from outbox.postgres.notify import INBOX_CHANGES
from outbox.rabbitmq.beacons import Beacon
from outbox.resend_events import Ranges, StreamRanges, listed

_STREAM = "source, aggregate_type, aggregate_id"
_KEYS = """
(m.consumer, m.source, m.aggregate_type, m.aggregate_id)
"""
_IN = "make_interval(secs => %(after)s)"
_COUNT = "(SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest({}) r)"
"""The number of sequences in a multirange (PostgreSQL, "Range Types")."""

_ADD = f"""
INSERT INTO inbox_missing AS m (consumer, {_STREAM}, known_last, position, missing, next_ask_at)
"""
_KNOWS_MORE = f"""
ON CONFLICT (consumer, {_STREAM}) DO UPDATE SET known_last = excluded.known_last
 WHERE m.known_last < excluded.known_last
"""
# Processes that have something of it in hand hear of it, and say so.
_NOTICE = f"""
WITH noticed AS (
  {_ADD}
  SELECT %(consumer)s, %(source)s, %(aggregate_type)s, s.id, s.last, coalesce(i.last_sequence, 0),
         int8multirange(int8range(coalesce(i.last_sequence, 0) + 1, s.last + 1)),
         clock_timestamp() + {_IN}
    FROM unnest(%(ids)s::text[], %(lasts)s::bigint[]) AS s(id, last)
    LEFT JOIN LATERAL (
      SELECT last_sequence FROM inbox
       WHERE (consumer, source, aggregate_type, aggregate_id)
           = (%(consumer)s, %(source)s, %(aggregate_type)s, s.id) LIMIT 1) i ON true
   WHERE coalesce(i.last_sequence, 0) < s.last ORDER BY s.id
  {_KNOWS_MORE} RETURNING consumer
)
SELECT pg_notify('{INBOX_CHANGES}', consumer) FROM noticed LIMIT 1
"""  # noqa: S608
# A range and its order are worth the index inbox_parked_gaps to PostgreSQL even where it has no
# statistics. See decision 1660.
_LASTS = f"""
consumer = %(consumer)s AND reason = 'gap'
AND parked_at BETWEEN '-infinity' AND statement_timestamp() - {_IN}
"""
_ADD_GAPS = f"""
WITH noticed AS (
  {_ADD}
  SELECT g.*, i.last_sequence, int8multirange(int8range(i.last_sequence + 1, g.last + 1)),
         clock_timestamp() + {_IN}
    FROM (SELECT consumer, {_STREAM}, max(sequence) AS last
            FROM (SELECT * FROM inbox_parked WHERE {_LASTS} ORDER BY parked_at) lasting
           GROUP BY consumer, {_STREAM}) g
   CROSS JOIN {position_of("g")} i
   WHERE NOT i.blocked AND i.last_sequence < g.last ORDER BY {_STREAM}
  {_KNOWS_MORE} RETURNING consumer
)
SELECT pg_notify('{INBOX_CHANGES}', consumer) FROM noticed LIMIT 1
"""  # noqa: S608
# A stream in use elsewhere is left for the next time.
_MAKE_DUE = f"""
WITH next AS MATERIALIZED (
  SELECT {_STREAM}, sequence, event_id
    FROM inbox_parked p CROSS JOIN LATERAL (
      SELECT FROM inbox i
       WHERE {stream_is("i", "p")} AND NOT i.blocked AND i.last_sequence + 1 = p.sequence
         FOR UPDATE SKIP LOCKED) i
   WHERE {_LASTS} AND next_attempt_at IS NULL ORDER BY parked_at
     FOR UPDATE OF p SKIP LOCKED
), due AS (
  UPDATE inbox_parked p SET next_attempt_at = clock_timestamp()
   WHERE {is_found("p", "next", "sequence", "event_id")}
  RETURNING p.consumer
)
SELECT pg_notify('{INBOX_CHANGES}', consumer) FROM due LIMIT 1
"""  # noqa: S608
_HAVE_COME = "(isempty(m.asked * c.missing) AND NOT isempty(m.asked))"
# While a beacon makes more known of a stream, what was compared before is not the whole of it.
_COMPARE = f"""
WITH compared AS (
  SELECT consumer, {_STREAM}, m.known_last, coalesce(i.last_sequence, 0) AS position,
         int8multirange(int8range(
           coalesce(i.last_sequence, 0) + 1,
           greatest(m.known_last, coalesce(i.last_sequence, 0)) + 1))
         - coalesce((SELECT range_agg(int8range(p.sequence, p.sequence + 1)) FROM inbox_parked p
                      WHERE (p.consumer, p.source, p.aggregate_type, p.aggregate_id) = {_KEYS}
                        AND p.reason <> 'forked'), '{{}}') AS missing
    FROM inbox_missing m LEFT JOIN {position_of("m")} i ON true
   WHERE consumer = %(consumer)s
), gone AS (
  DELETE FROM inbox_missing m USING compared c
   WHERE {_KEYS} = (c.consumer, c.source, c.aggregate_type, c.aggregate_id)
     AND m.known_last = c.known_last AND isempty(c.missing)
)
UPDATE inbox_missing m
   SET position = c.position, missing = c.missing, asked = m.asked * c.missing,
       asks = CASE WHEN {_HAVE_COME} OR c.position > m.position THEN 0 ELSE m.asks END,
       next_ask_at = CASE
         WHEN {_HAVE_COME} THEN clock_timestamp() + make_interval(secs => %(soon)s)
         WHEN c.position > m.position THEN clock_timestamp() + {_IN}
         ELSE m.next_ask_at END
  FROM compared c
 WHERE {_KEYS} = (c.consumer, c.source, c.aggregate_type, c.aggregate_id)
   AND NOT isempty(c.missing)
   AND (m.position, m.missing) IS DISTINCT FROM (c.position, c.missing)
"""  # noqa: S608
# A few are enough: the others have their time when these have come.
_DUE = f"""
WITH due AS MATERIALIZED (
  SELECT {_STREAM}, missing - unrecoverable AS wanted, next_ask_at, noticed_at
    FROM inbox_missing
   WHERE consumer = %(consumer)s AND source = %(source)s AND next_ask_at <= clock_timestamp()
     AND NOT isempty(missing - unrecoverable)
   ORDER BY next_ask_at, noticed_at, {_STREAM} LIMIT %(limit)s
)
SELECT {_STREAM}, wanted
  FROM due LEFT JOIN {position_of("due")} known ON true
  LEFT JOIN LATERAL (
    SELECT true AS is_free FROM inbox i WHERE {stream_is("i", "due")}
       FOR KEY SHARE SKIP LOCKED) free ON true
 WHERE is_free OR last_sequence IS NULL
 ORDER BY next_ask_at, noticed_at, {_STREAM}
"""  # noqa: S608
_UNDER_WAY = f"""
SELECT coalesce(sum({_COUNT.format("asked")}), 0) FROM inbox_missing
 WHERE consumer = %(consumer)s AND source = %(source)s AND next_ask_at > clock_timestamp()
"""  # noqa: S608
# The first wait doubles with each ask that brought nothing.
_ASKED = f"""
UPDATE inbox_missing m
   SET asked = a.ranges::int8multirange, asks = m.asks + 1, asked_at = clock_timestamp(),
       next_ask_at = clock_timestamp()
         + make_interval(secs => least(%(first)s * 2.0 ^ least(m.asks, 30), %(ceiling)s))
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(ranges)s::text[])
    AS a(source, aggregate_type, aggregate_id, ranges)
 WHERE {stream_is("m", "a")}
"""  # noqa: S608
_IN_HAND = f"""
UPDATE inbox_missing m SET next_ask_at = clock_timestamp() + {_IN}
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(sequences)s::bigint[])
    AS h(source, aggregate_type, aggregate_id, sequence)
 WHERE {stream_is("m", "h")}
   AND m.missing @> h.sequence AND m.next_ask_at < clock_timestamp() + {_IN} / 2
"""  # noqa: S608
_UNAVAILABLE = f"""
UPDATE inbox_missing m
   SET unrecoverable = m.unrecoverable + u.ranges::int8multirange,
       asked = m.asked - u.ranges::int8multirange
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(ranges)s::text[])
    AS u(source, aggregate_type, aggregate_id, ranges)
 WHERE {stream_is("m", "u")}
   AND m.missing && u.ranges::int8multirange
   AND NOT m.unrecoverable @> u.ranges::int8multirange
RETURNING m.source, m.aggregate_type, m.aggregate_id, m.missing * m.unrecoverable
"""  # noqa: S608
AWAITED, ASKED, LOST, UNRECOVERABLE = "awaited", "asked", "lost", "unrecoverable"
STATES = (AWAITED, ASKED, LOST, UNRECOVERABLE)
DO_NOT_COME = (LOST, UNRECOVERABLE)
"""What is missing in these states does not come by itself."""
_STATE = f"""
CASE WHEN missing && unrecoverable THEN '{UNRECOVERABLE}' WHEN NOT isempty(asked) THEN '{ASKED}'
     WHEN asks = 0 THEN '{AWAITED}' ELSE '{LOST}' END
"""
_SHOWN = "CASE WHEN missing && unrecoverable THEN missing * unrecoverable ELSE missing END"
_COUNTS = f"""
SELECT consumer, source, {_STATE} AS state, count(*) AS streams,
       least(sum({_COUNT.format(_SHOWN)}), {MAX_SEQUENCE})::bigint AS events,
       min(noticed_at) AS since, max(asked_at) AS asked_at,
       min(source || '/' || aggregate_type || '/' || aggregate_id) AS first
  FROM inbox_missing WHERE %(consumer)s::text IS NULL OR consumer = %(consumer)s
 GROUP BY consumer, source, state ORDER BY consumer, source, state
"""  # noqa: S608
_STREAMS = f"""
SELECT {_STREAM}, {_SHOWN}, {_STATE}, noticed_at, asks, asked_at FROM inbox_missing
 WHERE consumer = %(consumer)s ORDER BY noticed_at, {_STREAM} LIMIT %(limit)s
"""  # noqa: S608
_ARE_POSSIBLE = """
SELECT EXISTS (SELECT FROM inbox_missing WHERE consumer = %(consumer)s)
    OR EXISTS (SELECT FROM inbox_parked WHERE consumer = %(consumer)s AND reason = 'gap')
    OR EXISTS (SELECT FROM inbox_beacons WHERE consumer = %(consumer)s AND hole_since IS NOT NULL)
"""

# The key has the schema of the inbox, as that of `outbox.postgres.leadership`. The two that change
# many rows in different orders would wait for each other.
_LOCK = """
SELECT {lock}(hashtext('searches in ' || relnamespace::regnamespace), hashtext(%(consumer)s)),
       set_config('lock_timeout', '5s', true)
  FROM pg_class WHERE oid = to_regclass('inbox')
"""


@dataclass(frozen=True, slots=True)
class MissingCount:
    """Streams of one consumer and source of which events are missing, in one state.

    `awaited` ones may be on their way, `asked` ones were asked for. `lost` ones are not asked for,
    because the consumer does not ask this source. `unrecoverable` ones are not at their source.
    """

    consumer: str
    source: str
    state: str
    streams: int
    events: int
    since: datetime
    asked_at: datetime | None
    first: str


@dataclass(frozen=True, slots=True)
class MissingOfStream:
    """What one stream misses: in which state, since when, and how often and when it was asked for.

    Where some of it is unrecoverable, `sequences` are only that.
    """

    stream: Stream
    sequences: str
    state: str
    since: datetime
    asks: int
    asked_at: datetime | None


@dataclass(frozen=True, slots=True)
class MissingEvents:
    """What is missing of one consumer's streams; for counts, of all consumers."""

    connection: Connection
    consumer: str | None = None

    async def are_possible(self) -> bool:
        """Whether there is anything to search for."""
        cursor = await self._execute(_ARE_POSSIBLE)
        return bool((await cursor.fetchone())[0])

    async def has_lock(self) -> bool:
        """Whether nobody else changes the table; nobody else does until the transaction ends."""
        cursor = await self._execute(_LOCK.format(lock="pg_try_advisory_xact_lock"))
        return bool((await cursor.fetchone() or (False,))[0])

    async def wait_for_lock(self) -> None:
        """Wait until nobody else changes the table. Call it before any row is locked."""
        await self._execute(_LOCK.format(lock="pg_advisory_xact_lock"))

    async def notice(self, beacon: Beacon, *, after: float) -> bool:
        """Note the streams that are behind a beacon; they may be asked for `after` seconds."""
        values = {
            "source": beacon.source,
            "aggregate_type": beacon.aggregate_type,
            "ids": [*beacon.streams],
            "lasts": [*beacon.streams.values()],
        }
        return await self._changed(_NOTICE, **values, after=after)

    async def notice_gaps(self, *, after: float) -> None:
        """Make due what would wait for nothing, and note the gaps that have lasted so long."""
        await self._changed(_MAKE_DUE, after=after)
        await self._changed(_ADD_GAPS, after=after)

    async def compare(self, *, after: float, soon: float) -> None:
        """Find out what is still missing. In a stream that moves the clock starts again.

        Where all has come that was asked for, the rest may be asked for `soon`.
        """
        await self._changed(_COMPARE, after=after, soon=soon)

    async def in_hand(self, events: Iterable[Envelope], *, after: float) -> None:
        """These have arrived in this process and wait for a worker."""
        listed = list(events)
        values = {
            **columns(event.stream for event in listed),
            "sequences": [event.sequence for event in listed],
        }
        await self._changed(_IN_HAND, **values, after=after)

    async def due(self, source: str, *, limit: int) -> list[StreamRanges]:
        """What may be asked for now, the longest due first; of streams that are not in use."""
        cursor = await self._execute(_DUE, source=source, limit=limit)
        return [
            StreamRanges(kind, id_, _ranges(wanted))
            for _, kind, id_, wanted in await cursor.fetchall()
        ]

    async def under_way(self, source: str) -> int:
        """How many events have been asked for that have neither come nor had their time."""
        cursor = await self._execute(_UNDER_WAY, source=source)
        [(count,)] = await cursor.fetchall()
        return int(count)

    async def asked(
        self, source: str, streams: Sequence[StreamRanges], *, first: float, ceiling: float
    ) -> None:
        """Note what is asked for. Without an answer it is due again after `first` seconds."""
        values = _columns(source, streams)
        await self._changed(_ASKED, **values, first=first, ceiling=ceiling)

    async def unavailable(
        self, source: str, streams: Sequence[StreamRanges]
    ) -> list[tuple[Stream, Ranges]]:
        """A source cannot send these any more. Returns the streams that did not know it."""
        cursor = await self._execute(_UNAVAILABLE, **_columns(source, streams))
        return [(Stream(*key), _ranges(gone)) for *key, gone in await cursor.fetchall()]

    async def counts(self) -> list[MissingCount]:
        """What is missing, by consumer, source and state."""
        cursor = self.connection.cursor(row_factory=class_row(MissingCount))
        return await (await cursor.execute(_COUNTS, {"consumer": self.consumer})).fetchall()

    async def streams(self, *, limit: int = 100) -> list[MissingOfStream]:
        """What each stream misses, the longest missing first."""
        cursor = await self._execute(_STREAMS, limit=limit)
        return [
            MissingOfStream(Stream(source, kind, id_), listed(_ranges(sequences)), *rest)
            for source, kind, id_, sequences, *rest in await cursor.fetchall()
        ]

    async def _changed(self, statement: str, **values: object) -> bool:
        cursor = await self._execute(statement, **values)
        return bool(cursor.rowcount > 0)

    async def _execute(self, statement: str, **values: object) -> Any:
        return await self.connection.execute(statement, {"consumer": self.consumer, **values})


def _columns(source: str, streams: Sequence[StreamRanges]) -> Mapping[str, object]:
    return {
        **columns(Stream(source, one.aggregate_type, one.aggregate_id) for one in streams),
        "ranges": [_multirange(one.ranges) for one in streams],
    }


def _multirange(ranges: Ranges) -> str:
    """As PostgreSQL reads it."""
    return f"{{{','.join(f'[{first},{last}]' for first, last in ranges)}}}"


def _ranges(found: Multirange[int]) -> Ranges:
    return tuple((one.lower, one.upper - 1) for one in found if one.lower and one.upper)

"""What was published since the last beacons, and how far these have come: `outbox_beacons`.

Invariant: no statement reads more than `PUBLISHES` rows, however long ago the last beacon was.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from outbox.log.relay_queries import Connection
from outbox.rabbitmq.beacons import MAX_STREAMS
from outbox.resend_events import RESENDING

PUBLISHES = 20_000

_NOW = """
SELECT clock_timestamp(), (SELECT published_at FROM outbox WHERE published_at IS NOT NULL
                            ORDER BY published_at DESC LIMIT 1)
"""
_POSITIONS = "SELECT source, aggregate_type, number, until, asked_since FROM outbox_beacons"

# The index outbox_published serves this in its order. What shares its time with the last row
# belongs to the same round.
_ROUND = """
WITH recent AS MATERIALIZED (
  SELECT source, aggregate_type, aggregate_id, sequence, published_at FROM outbox
   WHERE published_at > %(since)s AND published_at <= %(until)s
   ORDER BY published_at FETCH FIRST (%(limit)s) ROWS WITH TIES
), moved AS (
  SELECT source, aggregate_type, aggregate_id, max(sequence) AS last,
         (row_number() OVER (PARTITION BY source, aggregate_type ORDER BY aggregate_id) - 1)
         / %(streams)s AS chunk
    FROM recent
   WHERE aggregate_type <> %(resending)s
     AND (%(all)s OR (source, aggregate_type) IN
                     (SELECT * FROM unnest(%(sources)s::text[], %(types)s::text[])))
   GROUP BY source, aggregate_type, aggregate_id
), chunks AS (
  SELECT source, aggregate_type, chunk, array_agg(aggregate_id) AS ids, array_agg(last) AS lasts
    FROM moved GROUP BY source, aggregate_type, chunk
)
SELECT seen.events, seen.latest, source, aggregate_type, ids, lasts
  FROM (SELECT count(*) AS events, max(published_at) AS latest FROM recent) seen
  LEFT JOIN chunks ON true
 ORDER BY source, aggregate_type, chunk
"""

_STORE = """
INSERT INTO outbox_beacons AS b (source, aggregate_type, number, until)
SELECT source, aggregate_type, number, %(until)s
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(numbers)s::bigint[])
         AS s(source, aggregate_type, number)
ON CONFLICT (source, aggregate_type) DO UPDATE
   SET number = greatest(b.number, excluded.number), until = excluded.until
"""
# A request that has come since it was read is not overwritten.
_STORE_ASKED = """
UPDATE outbox_beacons b
   SET number = greatest(b.number, s.number),
       asked_since = CASE WHEN b.asked_since <> %(since)s THEN b.asked_since
                          WHEN %(until)s < b.until THEN %(until)s END
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(numbers)s::bigint[])
         AS s(source, aggregate_type, number)
 WHERE b.source = s.source AND b.aggregate_type = s.aggregate_type
"""

Kind = tuple[str, str]
"""A source and an aggregate type."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far the beacons of one kind have come: the number of the last, and until when it told.

    `asked_since` is the time from which a consumer wants to hear it once more.
    """

    number: int
    until: datetime
    asked_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """What a relay has to know before it can say whether beacons are due."""

    now: datetime
    last_published: datetime | None
    positions: Mapping[Kind, Position]


@dataclass(frozen=True, slots=True)
class Span:
    """The time of a round, and the kinds of which it was asked for; none for a usual round."""

    since: datetime
    until: datetime
    asked: frozenset[Kind] = frozenset()


@dataclass(frozen=True, slots=True)
class Published:
    """What was published in a span, or in its first part if that is much."""

    until: datetime
    is_cut: bool
    streams: Sequence[tuple[Kind, Mapping[str, int]]]
    """The last sequence by aggregate id, at most `MAX_STREAMS` at a time; sorted by kind."""


class BeaconQueries:
    """Reads what beacons have to say, and stores what they have said."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def situation(self) -> Situation:
        """Two small statements."""
        cursor = await self._connection.execute(_POSITIONS)
        positions = {
            (source, kind): Position(number, until, asked_since)
            for source, kind, number, until, asked_since in await cursor.fetchall()
        }
        cursor = await self._connection.execute(_NOW)
        [(now, last)] = await cursor.fetchall()
        return Situation(now.astimezone(UTC), last, positions)

    async def published(self, span: Span, *, limit: int = PUBLISHES) -> Published:
        """What was published in a span, events that ask for others left out."""
        cursor = await self._connection.execute(
            _ROUND,
            {
                "since": span.since,
                "until": span.until,
                "limit": limit,
                "streams": MAX_STREAMS,
                "resending": RESENDING,
                "all": not span.asked,
                **_columns(span.asked),
            },
        )
        rows = await cursor.fetchall()
        events, latest = rows[0][:2]
        is_cut = events >= limit
        return Published(
            latest.astimezone(UTC) if is_cut else span.until,
            is_cut,
            [
                ((source, kind), dict(zip(ids, lasts, strict=True)))
                for _, _, source, kind, ids, lasts in rows
                if source is not None
            ],
        )

    async def store(self, span: Span, numbers: Mapping[Kind, int], until: datetime) -> None:
        """The beacons of these kinds have come to a number each, and the round to this time."""
        await self._connection.execute(
            _STORE_ASKED if span.asked else _STORE,
            {
                **_columns(numbers),
                "numbers": list(numbers.values()),
                "since": span.since,
                "until": until,
            },
        )


def _columns(kinds: Collection[Kind]) -> dict[str, object]:
    return {"sources": [source for source, _ in kinds], "types": [kind for _, kind in kinds]}

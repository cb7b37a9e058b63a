"""What operators ask of parked events: lists, groups, gaps, counts, and what a change would move.

Nothing here changes a row.

One file, because together with `parked_events` (what is done under the lock of a stream) it holds
all SQL on `inbox_parked`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar
from uuid import UUID

from psycopg import AsyncCursor
from psycopg.rows import class_row

from outbox.event import Stream
from outbox.inbox.parked_events import COLUMNS, NEXT_ATTEMPT, STREAM
from outbox.inbox.parked_rows import (
    FailedAttempt,
    Gap,
    ParkedCount,
    ParkedEvent,
    ParkedGroup,
    ParkedStream,
    ParkedType,
    Preview,
    parked_event,
)
from outbox.inbox.parked_selection import (
    EVERYTHING,
    FIRST_FAILED,
    GROUP,
    SELECTED,
    ParkedSelection,
)
from outbox.inbox.position import Connection, columns
from outbox.inbox.whole_keys import position_of, stream_is

Row = TypeVar("Row")
Values = Mapping[str, object]

_BYTES = "(octet_length(body) + 1024)"
"""The size of one parked event: a row and its index entries take about a KiB beside the body."""
_CONSUMER = "(%(consumer)s::text IS NULL OR consumer = %(consumer)s)"
FOR_PERSON = """
next_attempt_at IS NULL AND reason IN ('failed', 'unreadable', 'crashed', 'unhandled', 'forked')
"""
_STOPS = "p.sequence = i.last_sequence + 1 AND p.reason <> 'forked'"
"""Condition on a parked event `p` and its position `i`: the stream cannot go on without it."""

BYTES_SHOWN = 8 * 1024 * 1024
"""Bodies are read until they have more bytes than this."""

_LIST = f"""
SELECT {COLUMNS}, NULL::bytea, NULL FROM inbox_parked p
 WHERE {_CONSUMER} AND {SELECTED}
 ORDER BY parked_at, consumer, source, aggregate_type, aggregate_id, sequence, event_id
 LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608
# In the order of the primary key, from which each page is read however many there are.
_PAGE = f"""
SELECT {COLUMNS}, NULL::bytea, NULL FROM inbox_parked p
 WHERE {_CONSUMER} AND {SELECTED}
   AND (consumer, source, aggregate_type, aggregate_id, sequence, event_id)
     > (%(after_consumer)s, %(source)s, %(aggregate_type)s, %(aggregate_id)s, %(sequence)s,
        %(event_id)s)
 ORDER BY consumer, source, aggregate_type, aggregate_id, sequence, event_id LIMIT %(limit)s
"""  # noqa: S608
# Sizes are known without reading a body, so what does not fit is not read.
_SHOW = f"""
SELECT {COLUMNS}, CASE WHEN fits THEN body END, CASE WHEN fits THEN last_traceback END,
       failed_at, failed_with, fits
  FROM (SELECT *, sum(octet_length(body) + coalesce(octet_length(last_traceback), 0))
                    OVER (ORDER BY sequence, event_id ROWS UNBOUNDED PRECEDING)
                    - octet_length(body) <= {BYTES_SHOWN} AS fits
          FROM inbox_parked
         WHERE {STREAM} AND (%(sequence)s::bigint IS NULL OR sequence = %(sequence)s)
           AND (sequence, event_id) > (%(after)s, %(after_id)s)
         ORDER BY sequence, event_id LIMIT %(limit)s) p
 ORDER BY sequence, event_id
"""  # noqa: S608
# In the order of the primary key: one page after the other is read, however many there are.
_STOPPED_STREAMS = f"""
SELECT p.source, p.aggregate_type, p.aggregate_id
  FROM inbox_parked p CROSS JOIN {position_of("p")} i
 WHERE p.consumer = %(consumer)s AND {_STOPS} AND {SELECTED}
   AND (p.source, p.aggregate_type, p.aggregate_id)
     > (%(source)s, %(aggregate_type)s, %(aggregate_id)s)
 ORDER BY 1, 2, 3 LIMIT %(limit)s
"""  # noqa: S608
_DISCARDABLE = f"""
SELECT {COLUMNS}, NULL::bytea, NULL FROM inbox_parked p
 WHERE consumer = %(consumer)s AND reason <> 'discarded' AND {SELECTED}
   AND (source, aggregate_type, aggregate_id, sequence, event_id)
     > (%(source)s, %(aggregate_type)s, %(aggregate_id)s, %(sequence)s, %(event_id)s)
 ORDER BY source, aggregate_type, aggregate_id, sequence, event_id LIMIT %(limit)s
"""  # noqa: S608
_PREVIEW = f"""
SELECT coalesce(sum(chosen.events), 0)::bigint AS events, count(*) AS streams,
       coalesce(sum(i.parked - chosen.events), 0)::bigint AS followers,
       statement_timestamp() AS at, coalesce(to_hex(bit_xor(chosen.digest)), '') AS digest
  FROM (SELECT consumer, source, aggregate_type, aggregate_id, count(*) AS events,
               bit_xor(hashtextextended(p.event_id::text, 0)) AS digest
          FROM inbox_parked p CROSS JOIN {position_of("p")} i
         WHERE p.consumer = %(consumer)s AND {SELECTED} AND {{which}}
         GROUP BY consumer, source, aggregate_type, aggregate_id
         ORDER BY source, aggregate_type, aggregate_id LIMIT %(limit)s) chosen
  CROSS JOIN {position_of("chosen")} i
"""  # noqa: S608
_PREVIEW_REDRIVE = _PREVIEW.format(which=_STOPS)
_PREVIEW_DISCARD = _PREVIEW.format(which="p.reason <> 'discarded'")
# A stream is stopped by one event, behind which all others of `inbox.parked` wait.
_GROUPS = f"""
WITH groups AS (
  SELECT p.consumer, p.type, {GROUP} AS fingerprint,
         min(coalesce(p.cause, p.reason)) AS cause, min(p.reason) AS reason, count(*) AS events,
         count(*) FILTER (WHERE {_STOPS}) AS streams,
         coalesce(sum(i.parked - 1) FILTER (WHERE {_STOPS}), 0)::bigint AS followers,
         min({FIRST_FAILED}) AS first_seen,
         max(coalesce(p.failed_at[cardinality(p.failed_at)], p.parked_at)) AS last_seen,
         min({NEXT_ATTEMPT}) AS next_attempt,
         min(retried_until) FILTER (WHERE next_attempt_at IS NOT NULL) AS retried_until,
         count(*) FILTER (WHERE {FOR_PERSON}) AS for_person,
         min(ARRAY[p.event_id::text, p.source, p.aggregate_type, p.aggregate_id, p.sequence::text])
           AS sample
    FROM inbox_parked p CROSS JOIN {position_of("p", "p.consumer")} i
   WHERE {_CONSUMER} AND p.reason NOT IN ('gap', 'behind', 'discarded')
     AND {SELECTED}
   GROUP BY p.consumer, p.type, {GROUP}
   ORDER BY streams DESC, events DESC, consumer, type, fingerprint
   LIMIT %(limit)s OFFSET %(offset)s
)
SELECT DISTINCT ON (g.streams, g.events, g.consumer, g.type, g.fingerprint)
       g.consumer, g.type, g.fingerprint, g.cause, g.reason, g.events, g.streams, g.followers,
       g.first_seen, g.last_seen, g.next_attempt, g.retried_until, g.for_person,
       p.event_id AS sample,
       p.source || '/' || p.aggregate_type || '/' || p.aggregate_id AS sample_stream,
       p.sequence AS sample_sequence, p.last_error AS sample_error
  FROM groups g JOIN inbox_parked p
       ON (p.consumer, p.source, p.aggregate_type, p.aggregate_id, p.sequence, p.event_id)
        = (g.consumer, g.sample[2], g.sample[3], g.sample[4], g.sample[5]::bigint,
           g.sample[1]::uuid)
 ORDER BY g.streams DESC, g.events DESC, g.consumer, g.type, g.fingerprint
"""  # noqa: S608
# The first parked event of each stream, found among those that follow no other parked one. With
# LIMIT each position is looked up; without it a plan reads the whole inbox.
_GAPS = """
WITH firsts AS (
  SELECT source, aggregate_type, aggregate_id, min(sequence) AS first
    FROM inbox_parked p
   WHERE consumer = %(consumer)s AND reason <> 'forked'
     AND NOT EXISTS (SELECT FROM inbox_parked b
                      WHERE (b.consumer, b.source, b.aggregate_type, b.aggregate_id, b.sequence)
                          = (p.consumer, p.source, p.aggregate_type, p.aggregate_id, p.sequence - 1)
                        AND b.reason <> 'forked')
   GROUP BY source, aggregate_type, aggregate_id
)
SELECT f.source, f.aggregate_type, f.aggregate_id, i.last_sequence + 1, f.first - 1, w.*
  FROM firsts f
 CROSS JOIN LATERAL (
   SELECT last_sequence FROM inbox i
    WHERE (i.consumer, i.source, i.aggregate_type, i.aggregate_id)
        = (%(consumer)s, f.source, f.aggregate_type, f.aggregate_id) LIMIT 1) i
 CROSS JOIN LATERAL (
   SELECT count(*), min(parked_at) AS since FROM inbox_parked p
    WHERE (p.consumer, p.source, p.aggregate_type, p.aggregate_id)
        = (%(consumer)s, f.source, f.aggregate_type, f.aggregate_id)
      AND p.sequence > i.last_sequence AND p.reason <> 'forked') w
 WHERE f.first > i.last_sequence + 1
 ORDER BY w.since LIMIT %(limit)s
"""
_PROGRESS = """
SELECT i.source, i.aggregate_type, i.aggregate_id, i.last_sequence, min(p.sequence)
  FROM inbox i LEFT JOIN inbox_parked p
       ON (p.consumer, p.source, p.aggregate_type, p.aggregate_id)
        = (i.consumer, i.source, i.aggregate_type, i.aggregate_id)
      AND p.sequence > i.last_sequence AND p.reason <> 'forked'
 WHERE i.consumer = %(consumer)s
   AND (%(source)s::text IS NULL OR (i.source, i.aggregate_type, i.aggregate_id)
                                  = (%(source)s, %(aggregate_type)s, %(aggregate_id)s))
 GROUP BY i.source, i.aggregate_type, i.aggregate_id, i.last_sequence
"""
_PARKED_IN = f"SELECT parked FROM inbox WHERE {STREAM}"  # noqa: S608
_BEYOND = f"""
SELECT source, aggregate_type, aggregate_id, p.sequence
  FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(after)s::bigint[])
       AS s(source, aggregate_type, aggregate_id, after)
  CROSS JOIN LATERAL (
    SELECT sequence FROM inbox_parked p
     WHERE {stream_is("p", "s")} AND sequence > s.after AND reason <> 'forked' OFFSET 0) p
"""  # noqa: S608
# Each time another event, so that one which fails for a reason of its own decides nothing.
_NEXT_PROBE = f"""
SELECT p.source, p.aggregate_type, p.aggregate_id, p.sequence
  FROM inbox_parked p CROSS JOIN {position_of("p")} i
 WHERE p.consumer = %(consumer)s AND p.type = %(type)s AND {_STOPS}
   AND (p.reason = 'tripped' OR p.reason = 'failed' AND p.next_attempt_at IS NOT NULL)
 ORDER BY p.failed_at[cardinality(p.failed_at)] NULLS FIRST, p.parked_at LIMIT 1
"""  # noqa: S608
_UNTIL_DUE = """
SELECT CASE WHEN isfinite(first)
            THEN greatest(extract(epoch FROM first - clock_timestamp()), 0)::float8 ELSE 0 END
  FROM (SELECT min(next_attempt_at) FROM inbox_parked WHERE consumer = %s) AS due(first)
 WHERE first IS NOT NULL
"""
_BY_REASON = f"""
SELECT consumer, reason, count(*) AS events, sum({_BYTES}) AS bytes,
       count(*) FILTER (WHERE {FOR_PERSON}) AS for_person,
       min(parked_at) AS oldest, min({NEXT_ATTEMPT}) AS next_attempt
  FROM inbox_parked WHERE {_CONSUMER} GROUP BY consumer, reason ORDER BY consumer, reason
"""  # noqa: S608
_HEAVIEST = f"""
SELECT DISTINCT ON (consumer) consumer, source || '/' || aggregate_type || '/' || aggregate_id
         AS stream, count(*) AS events, sum({_BYTES}) AS bytes
  FROM inbox_parked WHERE {_CONSUMER} GROUP BY consumer, source, aggregate_type, aggregate_id
 ORDER BY consumer, bytes DESC
"""  # noqa: S608
_BY_TYPE = f"""
SELECT consumer, type, count(*) AS events, min(parked_at) AS oldest,
       count(*) FILTER (WHERE reason = 'unhandled') AS unhandled
  FROM inbox_parked WHERE {_CONSUMER} AND reason NOT IN ('forked', 'discarded')
 GROUP BY consumer, type ORDER BY consumer, type
"""  # noqa: S608

_BEGINNING = Stream("", "", "")
"""Before all streams."""

ParkedKey = tuple[str, Stream, int, UUID]
"""Consumer, stream, sequence and id of a parked event: the primary key."""
_FIRST: ParkedKey = ("", _BEGINNING, 0, UUID(int=0))


@dataclass(frozen=True, slots=True)
class ParkedQueries:
    """Questions about the parked events of one consumer, or of all of them."""

    connection: Connection
    consumer: str | None = None

    async def find(
        self, selection: ParkedSelection = EVERYTHING, *, limit: int = 100, offset: int = 0
    ) -> list[ParkedEvent]:
        """Parked events without their bodies, the longest waiting first."""
        found = await self._rows(_LIST, {"limit": limit, "offset": offset}, selection)
        return [parked_event(*row) for row in found]

    async def show(
        self,
        stream: Stream,
        sequence: int | None = None,
        *,
        after: tuple[int, UUID] = _FIRST[2:],
        limit: int = 100,
    ) -> tuple[list[ParkedEvent], bool]:
        """The parked events of a stream in order, with bodies, and whether there are more.

        They are as many as fit into `BYTES_SHOWN`; two are at a sequence that forked.
        """
        values = {"sequence": sequence, "after": after[0], "after_id": after[1], "limit": limit + 1}
        found = await self._rows(_SHOW, {**_key(stream), **values})
        shown = [
            replace(parked_event(*row), failures=tuple(map(FailedAttempt, at, errors)))
            for *row, at, errors, fits in found[:limit]
            if fits
        ]
        return shown, len(shown) < len(found)

    async def page(
        self, selection: ParkedSelection, *, after: ParkedKey | None = None, limit: int
    ) -> list[ParkedEvent]:
        """Parked events without their bodies, by consumer, stream and sequence, beyond one."""
        consumer, stream, sequence, event_id = after or _FIRST
        values = {
            **_key(stream),
            "after_consumer": consumer,
            "sequence": sequence,
            "event_id": event_id,
            "limit": limit,
        }
        return [parked_event(*row) for row in await self._rows(_PAGE, values, selection)]

    async def groups(
        self, selection: ParkedSelection = EVERYTHING, *, limit: int = 100, offset: int = 0
    ) -> list[ParkedGroup]:
        """What stops streams, by consumer, event type and cause; the most streams first."""
        values = {"limit": limit, "offset": offset}
        return await self._fetch(ParkedGroup, _GROUPS, values, selection)

    async def preview_redrive(
        self, selection: ParkedSelection, *, limit: int | None = None
    ) -> Preview:
        """What a redrive of at most so many streams would move."""
        [preview] = await self._fetch(Preview, _PREVIEW_REDRIVE, {"limit": limit}, selection)
        return preview

    async def preview_discard(self, selection: ParkedSelection) -> Preview:
        """What a discard would move."""
        [preview] = await self._fetch(Preview, _PREVIEW_DISCARD, {"limit": None}, selection)
        return preview

    async def stopped_streams(
        self, selection: ParkedSelection, *, after: Stream | None = None, limit: int
    ) -> list[Stream]:
        """Streams in order, beyond one of them, whose next event is parked and selected."""
        values = {**_key(after or _BEGINNING), "limit": limit}
        found = await self._rows(_STOPPED_STREAMS, values, selection)
        return [Stream(*row) for row in found]

    async def discardable(
        self, selection: ParkedSelection, *, after: ParkedEvent | None = None, limit: int
    ) -> list[ParkedEvent]:
        """Selected events in the order of their streams and sequences, beyond one of them."""
        values = {
            **_key(after.stream if after else _BEGINNING),
            "sequence": after.sequence if after else 0,
            "event_id": after.event_id if after else UUID(int=0),
            "limit": limit,
        }
        found = await self._rows(_DISCARDABLE, values, selection)
        return [parked_event(*row) for row in found]

    async def gaps(self, *, limit: int = 100) -> list[Gap]:
        """Streams that wait for events which have not arrived, the longest waiting first."""
        return [
            Gap(Stream(source, kind, id_), *rest)
            for source, kind, id_, *rest in await self._rows(_GAPS, {"limit": limit})
        ]

    async def progress(self, stream: Stream | None = None) -> dict[Stream, tuple[int, int | None]]:
        """How far each stream, or this one, has come, and the first sequence parked beyond."""
        found = await self._rows(_PROGRESS, _key(stream))
        return {Stream(*key): (last, first) for *key, last, first in found}

    async def parked_in(self, stream: Stream) -> int:
        """How many events of a stream are parked."""
        found = await self._rows(_PARKED_IN, _key(stream))
        return int(found[0][0]) if found else 0

    async def beyond(self, after: Mapping[Stream, int]) -> list[tuple[Stream, int]]:
        """All sequences that are parked beyond the given one of each of these streams."""
        found = await self._rows(_BEYOND, {**columns(after), "after": [*after.values()]})
        return [(Stream(*key), sequence) for *key, sequence in found]

    async def next_probe(self, event_type: str) -> tuple[Stream, int] | None:
        """Of the events of a tripped type the one whose last attempt is the longest ago."""
        found = await self._rows(_NEXT_PROBE, {"type": event_type})
        return (Stream(*found[0][:3]), found[0][3]) if found else None

    async def until_due(self) -> float:
        """Seconds until a stream is due, 0 if one is; infinite if none will be by itself."""
        cursor = await self.connection.execute(_UNTIL_DUE, [self.consumer])
        row = await cursor.fetchone()
        return math.inf if row is None else float(row[0])

    async def counts(self) -> list[ParkedCount]:
        """How many events wait, by consumer and reason."""
        return await self._fetch(ParkedCount, _BY_REASON)

    async def heaviest(self) -> list[ParkedStream]:
        """The stream that has the most bytes parked, of each consumer."""
        return await self._fetch(ParkedStream, _HEAVIEST)

    async def types(self) -> list[ParkedType]:
        """The types of what waits, by consumer."""
        return await self._fetch(ParkedType, _BY_TYPE)

    async def _rows(
        self, query: str, values: Values, selection: ParkedSelection = EVERYTHING
    ) -> list[tuple[Any, ...]]:
        cursor = await self._execute(self.connection.cursor(), query, values, selection)
        return await cursor.fetchall()

    async def _fetch(
        self,
        kind: type[Row],
        query: str,
        values: Values = MappingProxyType({}),
        selection: ParkedSelection = EVERYTHING,
    ) -> list[Row]:
        cursor = self.connection.cursor(row_factory=class_row(kind))
        return await (await self._execute(cursor, query, values, selection)).fetchall()

    async def _execute(
        self, cursor: AsyncCursor[Row], query: str, values: Values, selection: ParkedSelection
    ) -> AsyncCursor[Row]:
        parameters = {"consumer": self.consumer, **selection.parameters(), **values}
        return await cursor.execute(query, parameters, prepare=False)


def _key(stream: Stream | None) -> dict[str, object]:
    return {
        "source": stream and stream.source,
        "aggregate_type": stream and stream.aggregate_type,
        "aggregate_id": stream and stream.aggregate_id,
    }

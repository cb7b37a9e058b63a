"""Which events of a stream are missing on the consumer's side, and why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import Any
from uuid import UUID

from outbox.event import Stream
from outbox.operations.database import Connection
from outbox.operations.stream_pairs import Pair

_STREAMS = """
FROM unnest(%(sources)s::text[], %(types)s::text[], %(ids)s::text[], %(applied)s::bigint[])
     AS s(source, aggregate_type, aggregate_id, applied)
"""
_PARKED = f"""
SELECT source, aggregate_type, aggregate_id, p.sequence
  {_STREAMS} JOIN inbox_parked p USING (source, aggregate_type, aggregate_id)
 WHERE p.consumer = %(consumer)s AND p.sequence > s.applied AND p.reason <> 'forked'
"""
_LOGGED = f"""
SELECT source, aggregate_type, aggregate_id, o.sequence, o.event_id,
       CASE WHEN o.published_at IS NOT NULL
            THEN CASE WHEN o.published_at < clock_timestamp() - make_interval(secs => %(grace)s)
                      THEN 'lost' ELSE 'under way' END
            WHEN o.parked_at IS NOT NULL THEN 'parked at the source' ELSE 'unpublished' END
  {_STREAMS} JOIN outbox o USING (source, aggregate_type, aggregate_id)
 WHERE o.sequence > s.applied
"""
_LAST = f"""
SELECT source, aggregate_type, aggregate_id, last
  {_STREAMS} JOIN outbox_streams USING (source, aggregate_type, aggregate_id)
"""


class Missing(StrEnum):
    """Why an event is not at the consumer."""

    LOST = "lost"
    """Published and confirmed, but never taken. A replay brings it."""
    FORGOTTEN = "forgotten"
    """No longer in the log, so that it cannot be replayed."""
    PARKED = "parked at the source"
    """The broker refused it; discard it there, or retry it."""
    AHEAD = "ahead"
    """The consumer has more than the producer gave out: one of them was restored."""
    UNPUBLISHED = "unpublished"
    UNDER_WAY = "under way"

    @property
    def comes_by_itself(self) -> bool:
        """Whether there is nothing to do but wait."""
        return self in (Missing.UNPUBLISHED, Missing.UNDER_WAY)


@dataclass(frozen=True, slots=True)
class Hole:
    """Events `first` to `last` of a stream. A tail has nothing of the stream behind it."""

    stream: str
    first: int
    last: int
    why: Missing
    tail: bool
    event_ids: list[UUID]


@dataclass
class Details:
    """The holes, and how many events come by themselves."""

    holes: list[Hole] = field(default_factory=list)
    waiting: int = 0
    unpublished: int = 0
    under_way: int = 0


async def holes_of(
    producer: Connection, consumer: Connection, name: str, pairs: Sequence[Pair], grace: float
) -> Details:
    """Look closer at streams in which the consumer is behind."""
    details = Details()
    parked: dict[Stream, set[int]] = defaultdict(set)
    logged: dict[Stream, dict[int, tuple[Missing, UUID]]] = defaultdict(dict)
    for *key, sequence in await _rows(consumer, _PARKED, pairs, consumer=name):
        parked[Stream(*key)].add(sequence)
    for *key, sequence, id_, why in await _rows(producer, _LOGGED, pairs, grace=grace):
        logged[Stream(*key)][sequence] = Missing(why), id_
    for pair in pairs:
        _judge(pair, parked[pair.stream], logged[pair.stream], details)
    return details


def _judge(
    pair: Pair, parked: set[int], logged: dict[int, tuple[Missing, UUID]], details: Details
) -> None:
    details.waiting += len(parked)
    gone = (Missing.FORGOTTEN, None)
    missing = [
        (sequence, *logged.get(sequence, gone))
        for sequence in range(pair.applied + 1, pair.last + 1)
        if sequence not in parked
    ]
    details.unpublished += sum(why is Missing.UNPUBLISHED for _, why, _ in missing)
    details.under_way += sum(why is Missing.UNDER_WAY for _, why, _ in missing)
    there = max(parked, default=pair.applied)
    for why, run in _runs(m for m in missing if not m[1].comes_by_itself):
        first, last = run[0][0], run[-1][0]
        ids = [id_ for _, _, id_ in run if id_]
        details.holes.append(Hole(str(pair.stream), first, last, why, first > there, ids))


def _runs(
    missing: Iterable[tuple[int, Missing, UUID | None]],
) -> Iterable[tuple[Missing, list[tuple[int, Missing, UUID | None]]]]:
    """Neighbours that are missing for the same reason, together."""
    numbered = enumerate(missing)
    for (_, why), run in groupby(numbered, key=lambda item: (item[1][0] - item[0], item[1][1])):
        yield why, [entry for _, entry in run]


async def ahead(producer: Connection, pairs: Sequence[Pair]) -> list[Hole]:
    """Streams of which the consumer has more than the producer, asked once more."""
    last = {Stream(*key): last for *key, last in await _rows(producer, _LAST, pairs)}
    return [
        Hole(str(pair.stream), last.get(pair.stream, 0) + 1, pair.applied, Missing.AHEAD, True, [])
        for pair in pairs
        if pair.applied > last.get(pair.stream, 0)
    ]


async def _rows(
    connection: Connection, query: str, pairs: Sequence[Pair], **more: object
) -> list[tuple[Any, ...]]:
    if not pairs:
        return []
    parameters = {
        "sources": [pair.stream.source for pair in pairs],
        "types": [pair.stream.aggregate_type for pair in pairs],
        "ids": [pair.stream.aggregate_id for pair in pairs],
        "applied": [pair.applied for pair in pairs],
        **more,
    }
    cursor = await connection.execute(query, parameters, prepare=False)
    return await cursor.fetchall()

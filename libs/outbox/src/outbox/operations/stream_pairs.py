"""Streams of a producer beside a consumer's places in them, in one order, without holding all."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from outbox.event import Stream
from outbox.operations.database import Connection

PAGE = 2_000

# Sorted by bytes on both sides: two databases may disagree about everything else.
_ORDER = 'ORDER BY source COLLATE "C", aggregate_type COLLATE "C", aggregate_id COLLATE "C"'
_STREAMS = f"""
SELECT source, aggregate_type, aggregate_id, last FROM outbox_streams
 WHERE last > 0 AND (source, aggregate_type) IN
       (SELECT * FROM unnest(%(sources)s::text[], %(types)s::text[])) {_ORDER}
"""  # noqa: S608
_PLACES = f"""
SELECT source, aggregate_type, aggregate_id, last_sequence FROM inbox
 WHERE consumer = %(consumer)s AND (source, aggregate_type) IN
       (SELECT * FROM unnest(%(sources)s::text[], %(types)s::text[])) {_ORDER}
"""  # noqa: S608


@dataclass(frozen=True, slots=True)
class Pair:
    """A stream with the last sequence on each side; 0 where it is unknown."""

    stream: Stream
    last: int
    applied: int


async def paired(
    producer: Connection, consumer: Connection, name: str, kinds: set[tuple[str, str]]
) -> AsyncIterator[Pair]:
    """Each stream of these (source, aggregate type) that either side knows.

    The producer is read first: what it writes meanwhile makes the consumer look ahead, never
    behind.
    """
    kinds_ = sorted(kinds)
    wanted: dict[str, object] = {"sources": [s for s, _ in kinds_], "types": [t for _, t in kinds_]}
    async with (
        _reading(producer, _STREAMS, wanted) as streams,
        _reading(consumer, _PLACES, {**wanted, "consumer": name}) as places,
    ):
        async for pair in _merged(streams, places):
            yield pair


async def _merged(
    streams: AsyncIterator[tuple[Any, ...]], places: AsyncIterator[tuple[Any, ...]]
) -> AsyncIterator[Pair]:
    left, right = await anext(streams, None), await anext(places, None)
    while left or right:
        if right is None or (left is not None and left[:3] < right[:3]):
            assert left is not None
            yield Pair(Stream(*left[:3]), left[3], 0)
            left = await anext(streams, None)
        elif left is None or right[:3] < left[:3]:
            yield Pair(Stream(*right[:3]), 0, right[3])
            right = await anext(places, None)
        else:
            yield Pair(Stream(*left[:3]), left[3], right[3])
            left, right = await anext(streams, None), await anext(places, None)


@asynccontextmanager
async def _reading(
    connection: Connection, query: str, parameters: dict[str, object]
) -> AsyncIterator[AsyncIterator[tuple[Any, ...]]]:
    async with (
        connection.transaction(),
        connection.cursor(name=f"reading_{id(parameters)}") as cursor,
    ):
        cursor.itersize = PAGE
        await cursor.execute(query, parameters)
        yield aiter(cursor)

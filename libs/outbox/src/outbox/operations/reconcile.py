"""A producer's streams against a consumer's inbox: which events should be there and are not.

A gap shows by itself when the next event arrives; the loss of a stream's last events does not.
Comparing how far both sides have come finds both (see decision 0702). The producer is read first:
what it writes meanwhile can make the consumer seem ahead, never behind.

One file, because finding the streams that differ and saying why each event is missing is one
comparison.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import Any
from uuid import UUID

from outbox.event import Stream
from outbox.inbox import position as inbox_sql
from outbox.inbox.parked_queries import ParkedQueries
from outbox.log import operator_queries as outbox_sql
from outbox.operations.database import Connection
from outbox.rabbitmq.subscription import Subscribed
from outbox.resend_events import RESENDING

GRACE = 10.0
DETAILED = 1_000
PAGE = 2_000

Kinds = set[tuple[str, str]]
"""Sources and aggregate types."""


class Why(StrEnum):
    """Why an event is not at the consumer."""

    LOST = "lost"
    """Published and confirmed, but never received. A replay brings it."""
    FORGOTTEN = "forgotten"
    """No longer in the outbox table, so it cannot be replayed."""
    PARKED = "parked at the source"
    """It is parked there, because the broker refused it. Discard or redrive it."""
    AHEAD = "ahead"
    """The consumer has more than the producer has: one of them was restored."""
    UNPUBLISHED = "unpublished"
    UNDER_WAY = "under way"

    @property
    def comes_by_itself(self) -> bool:
        """Whether there is nothing to do but wait."""
        return self in (Why.UNPUBLISHED, Why.UNDER_WAY)


@dataclass(frozen=True, slots=True)
class MissingEvents:
    """Events `first` to `last` of a stream, missing for one reason.

    They are a `tail` if no later event of the stream has arrived.
    """

    stream: str
    first: int
    last: int
    why: Why
    tail: bool
    event_ids: list[UUID]


@dataclass
class ConsumerReport:
    """One consumer against one producer. Details are kept for the first `DETAILED` streams."""

    consumer: str
    kinds: list[str]
    streams: int = 0
    behind: int = 0
    parked: int = 0
    unpublished: int = 0
    under_way: int = 0
    missing: list[MissingEvents] = field(default_factory=list)
    complete: bool = True

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing that will not come by itself."""
        return not self.missing and self.complete

    @property
    def missing_count(self) -> int:
        """How many events are missing that will not come by themselves."""
        return sum(run.last - run.first + 1 for run in self.missing)


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A report for each consumer, and what could not be compared.

    `unsubscribed` are the producer's source and aggregate types that no consumer subscribes to.
    `uncompared` names what should have been compared and was not: a mistyped name, a queue that
    was never consumed here, or "any consumer" if none is known. With `assumed` the subscriptions
    were not given: a consumer was compared with what it has received before.
    """

    results: list[ConsumerReport]
    unsubscribed: list[str]
    uncompared: list[str]
    assumed: bool

    @property
    def is_whole(self) -> bool:
        """Whether every consumer was compared and none lacks an event."""
        return not self.uncompared and all(result.is_whole for result in self.results)


@dataclass(frozen=True, slots=True)
class Pair:
    """A stream with the last sequence on each side; 0 where the stream is unknown."""

    stream: Stream
    last: int
    applied: int


async def reconcile(
    producer: Connection,
    consumer: Connection,
    *,
    consumers: Collection[str] = (),
    aggregate_types: Collection[str] = (),
    subscriptions: Iterable[Subscribed] | None = None,
    grace: float = GRACE,
) -> Reconciliation:
    """Compare every consumer with every stream that it subscribes to.

    Without `subscriptions` a consumer is assumed to subscribe to what it has received before.
    `consumers` and `aggregate_types` limit the comparison; given together they define it. An event
    that was published less than `grace` seconds ago is under way, not missing.
    """
    known = await _produced_kinds(producer)
    produced = {kind for kind in known if not aggregate_types or kind[1] in aggregate_types}
    consumed = await _consumed_kinds(consumer)
    strangers: set[str] = set()
    if subscriptions is not None:
        wanted = {name: kinds & produced for name, kinds in _subscribed(subscriptions).items()}
        strangers = {name for name, kinds in wanted.items() if kinds and name not in consumed}
        consumed = {
            name: kinds for name, kinds in wanted.items() if name in {*consumed, *consumers}
        }
    if consumers:
        named = produced if aggregate_types else Kinds()
        consumed = {name: consumed.get(name, Kinds()) | named for name in consumers}
        strangers = set()
    compared = {
        name: kinds & produced for name, kinds in sorted(consumed.items()) if kinds & produced
    }
    results = [
        await _compare(producer, consumer, name, kinds, grace) for name, kinds in compared.items()
    ]
    missed = _missed(compared, {*consumers, *strangers}, aggregate_types) if known else []
    unsubscribed = sorted(f"{source}/{kind}" for source, kind in produced - _all(consumed))
    return Reconciliation(results, unsubscribed, missed, assumed=subscriptions is None)


def _subscribed(subscriptions: Iterable[Subscribed]) -> dict[str, Kinds]:
    kinds_of: dict[str, Kinds] = defaultdict(set)
    for one in subscriptions:
        kinds_of[one.queue] |= {(one.source, kind) for kind in one.aggregate_types}
    return dict(kinds_of)


def _missed(
    compared: dict[str, Kinds], consumers: Collection[str], aggregate_types: Collection[str]
) -> list[str]:
    """The names that were asked for and could not be compared."""
    missed = {*consumers} - {*compared}
    missed |= {*aggregate_types} - {kind for _, kind in _all(compared)}
    return sorted(missed) or ([] if compared else ["any consumer"])


def _all(kinds_of: dict[str, Kinds]) -> Kinds:
    return {kind for kinds in kinds_of.values() for kind in kinds}


async def _produced_kinds(producer: Connection) -> Kinds:
    cursor = await producer.execute(outbox_sql.PRODUCED_KINDS)
    # A request for events that is lost is repeated: it is not missing.
    return {(source, kind) for source, kind in await cursor.fetchall() if kind != RESENDING}


async def _consumed_kinds(connection: Connection) -> dict[str, Kinds]:
    cursor = await connection.execute(inbox_sql.CONSUMED_KINDS)
    kinds_of: dict[str, Kinds] = defaultdict(set)
    for name, source, kind in await cursor.fetchall():
        kinds_of[name].add((source, kind))
    return dict(kinds_of)


async def _compare(
    producer: Connection, consumer: Connection, name: str, kinds: Kinds, grace: float
) -> ConsumerReport:
    report = ConsumerReport(name, sorted(f"{source}/{kind}" for source, kind in kinds))
    behind: list[Pair] = []
    ahead: list[Pair] = []
    async for pair in _pairs(producer, consumer, name, kinds):
        report.streams += 1
        if pair.applied < pair.last:
            report.behind += 1
            if len(behind) < DETAILED:
                behind.append(pair)
        elif pair.applied > pair.last and len(ahead) < DETAILED:
            ahead.append(pair)
    report.complete = report.behind == len(behind)
    await _explain_behind(producer, consumer, behind, grace, report)
    report.missing += await _confirm_ahead(producer, ahead)
    return report


async def _pairs(
    producer: Connection, consumer: Connection, name: str, kinds: Kinds
) -> AsyncIterator[Pair]:
    """Each stream of these kinds that either side knows, merged in one order, page by page."""
    in_order = sorted(kinds)
    parameters: dict[str, object] = {
        "sources": [source for source, _ in in_order],
        "types": [kind for _, kind in in_order],
    }
    async with (
        _reading(producer, outbox_sql.PRODUCED_STREAMS, parameters) as produced,
        _reading(consumer, inbox_sql.APPLIED_STREAMS, {**parameters, "consumer": name}) as applied,
    ):
        left, right = await anext(produced, None), await anext(applied, None)
        while left or right:
            if right is None or (left is not None and left[:3] < right[:3]):
                assert left is not None
                yield Pair(Stream(*left[:3]), left[3], 0)
                left = await anext(produced, None)
            elif left is None or right[:3] < left[:3]:
                yield Pair(Stream(*right[:3]), 0, right[3])
                right = await anext(applied, None)
            else:
                yield Pair(Stream(*left[:3]), left[3], right[3])
                left, right = await anext(produced, None), await anext(applied, None)


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


async def _explain_behind(
    producer: Connection,
    consumer: Connection,
    pairs: Sequence[Pair],
    grace: float,
    report: ConsumerReport,
) -> None:
    """Find out what became of each event that the consumer has not applied."""
    parked: dict[Stream, set[int]] = defaultdict(set)
    written: dict[Stream, dict[int, tuple[Why, UUID]]] = defaultdict(dict)
    applied = {pair.stream: pair.applied for pair in pairs}
    for stream, sequence in await ParkedQueries(consumer, report.consumer).beyond(applied):
        parked[stream].add(sequence)
    for *key, sequence, id_, why in await _rows(
        producer, outbox_sql.EVENTS_BEHIND, pairs, grace=grace
    ):
        written[Stream(*key)][sequence] = Why(why), id_
    for pair in pairs:
        _explain_gaps(pair, parked[pair.stream], written[pair.stream], report)


def _explain_gaps(
    pair: Pair, parked: set[int], written: dict[int, tuple[Why, UUID]], report: ConsumerReport
) -> None:
    report.parked += len(parked)
    missing = [
        (sequence, *written.get(sequence, (Why.FORGOTTEN, None)))
        for sequence in range(pair.applied + 1, pair.last + 1)
        if sequence not in parked
    ]
    report.unpublished += sum(why is Why.UNPUBLISHED for _, why, _ in missing)
    report.under_way += sum(why is Why.UNDER_WAY for _, why, _ in missing)
    arrived = max(parked, default=pair.applied)
    for why, run in _runs(m for m in missing if not m[1].comes_by_itself):
        first, last = run[0][0], run[-1][0]
        ids = [id_ for _, _, id_ in run if id_]
        report.missing.append(
            MissingEvents(str(pair.stream), first, last, why, first > arrived, ids)
        )


def _runs(
    missing: Iterable[tuple[int, Why, UUID | None]],
) -> Iterable[tuple[Why, list[tuple[int, Why, UUID | None]]]]:
    """Neighbours that are missing for the same reason, together."""
    numbered = enumerate(missing)
    for (_, why), run in groupby(numbered, key=lambda item: (item[1][0] - item[0], item[1][1])):
        yield why, [entry for _, entry in run]


async def _confirm_ahead(producer: Connection, pairs: Sequence[Pair]) -> list[MissingEvents]:
    """Streams in which the consumer is still ahead when the producer is asked again."""
    last = {
        Stream(*key): last for *key, last in await _rows(producer, outbox_sql.LAST_SEQUENCES, pairs)
    }
    return [
        MissingEvents(
            str(pair.stream), last.get(pair.stream, 0) + 1, pair.applied, Why.AHEAD, True, []
        )
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

"""One aggregate's stream: its events at the producer, its position at each consumer, its baseline.

Everything is found by indexes, however many streams and events there are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from outbox.event import Stream
from outbox.inbox import position as inbox_sql
from outbox.inbox.operations import InboxOperations
from outbox.inbox.parked_queries import ParkedQueries
from outbox.inbox.parked_rows import Preview
from outbox.log import operator_queries as outbox_sql
from outbox.log.row import bucket_of
from outbox.operations.database import Connection, fetch, has_table, now, value
from outbox.operations.operator.record import Record, refuse_changed


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """An event of a stream in the outbox table, without its body."""

    sequence: int
    event_id: UUID
    type: str
    version: int
    created_at: datetime
    published_at: datetime | None
    parked_at: datetime | None
    attempts: int
    last_error: str | None
    size: int
    correlation_id: str
    causation_id: str | None
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """How far one consumer has come; `waiting` is the first sequence parked beyond.

    There is a gap if `waiting` is not the next sequence.
    """

    consumer: str
    last_sequence: int
    last_event_id: UUID | None
    blocked: bool
    parked: int
    waiting: int | None

    @property
    def gap(self) -> tuple[int, int] | None:
        """The first and the last sequence that the consumer waits for, if there is a gap."""
        if self.waiting is None or self.waiting == self.last_sequence + 1:
            return None
        return self.last_sequence + 1, self.waiting - 1


@dataclass(frozen=True, slots=True)
class StreamView:
    """What one database knows of a stream.

    `last` is its last sequence at the producer, None if this is not its producer's database.
    `events` are the newest first, below `before` if that was given; `before` gives the next ones.
    """

    stream: Stream
    last: int | None
    events: list[StreamEvent]
    before: int | None
    positions: list[StreamPosition]


@dataclass(frozen=True, slots=True)
class Streams:
    """The streams of one database, as producer and as consumer."""

    connection: Connection
    record: Record

    async def find(self, aggregate_id: str) -> list[Stream]:
        """The streams of an aggregate's id, of whatever source and type."""
        found = set[Stream]()
        for table, query in (
            ("outbox_streams", outbox_sql.STREAMS_WITH_ID),
            ("inbox", inbox_sql.STREAMS_WITH_ID),
        ):
            if await has_table(self.connection, table):
                cursor = await self.connection.execute(query, {"id": aggregate_id})
                kinds = await cursor.fetchall()
                found |= {Stream(source, kind, aggregate_id) for source, kind in kinds}
        return sorted(found, key=str)

    async def show(
        self, stream: Stream, *, limit: int = 100, before: int | None = None
    ) -> StreamView:
        """A stream's events at the producer, the newest first, and its consumers."""
        key = {
            "source": stream.source,
            "aggregate_type": stream.aggregate_type,
            "aggregate_id": stream.aggregate_id,
        }
        last, events, first = None, list[StreamEvent](), 1
        if await has_table(self.connection, "outbox"):
            last = await value(self.connection, outbox_sql.STREAM_LAST, key)
        if last is not None:
            newest = min(last, before - 1) if before else last
            first = max(newest - limit + 1, 1)
            bucket = bucket_of(stream.aggregate_type, stream.aggregate_id)
            values = {**key, "bucket": bucket, "first": first, "last": newest}
            events = await fetch(self.connection, StreamEvent, outbox_sql.STREAM_EVENTS, values)
        positions = await self.positions(stream)
        return StreamView(stream, last, events, first if first > 1 else None, positions)

    async def positions(self, stream: Stream) -> list[StreamPosition]:
        """How far each consumer of this database has come in a stream."""
        if not await has_table(self.connection, "inbox"):
            return []
        key = {
            "source": stream.source,
            "kind": stream.aggregate_type,
            "aggregate": stream.aggregate_id,
        }
        cursor = await self.connection.execute(inbox_sql.POSITIONS, key)
        found = list[StreamPosition]()
        for consumer, last, event_id, blocked, parked in await cursor.fetchall():
            queries = ParkedQueries(self.connection, consumer)
            _, waiting = (await queries.progress(stream))[stream]
            found.append(StreamPosition(consumer, last, event_id, blocked, parked, waiting))
        return found

    async def preview_baseline(self, consumer: str, stream: Stream, sequence: int) -> Preview:
        """How many sequences a baseline passes over, or has take effect again."""
        inbox = InboxOperations(self.connection, consumer)
        at, _ = await inbox.progress(stream)
        parked = await ParkedQueries(self.connection, consumer).parked_in(stream)
        at_now = await now(self.connection)
        return Preview(abs(sequence - at), 1, parked, at_now, f"{at}-{sequence}")

    async def baseline(
        self,
        consumer: str,
        stream: Stream,
        sequence: int,
        *,
        seen: Preview | None = None,
        note: str = "",
    ) -> None:
        """Let a consumer go on after this sequence, whatever it has applied of the stream."""
        target = f"{consumer} {stream}"
        async with self.record.change(
            "set baseline", target, note=note, one_transaction=True
        ) as change:
            if seen is not None:
                refuse_changed(seen, await self.preview_baseline(consumer, stream, sequence))
            await InboxOperations(self.connection, consumer).baseline({stream: sequence})
            change.events, change.detail = 1, f"after {sequence}"

    async def beginnings(
        self, consumer: str, producer: Connection, *, aggregate_types: list[str] | None = None
    ) -> dict[Stream, int]:
        """After which sequence a new consumer begins in each stream, without the past.

        Streams in which it has begun are left out.
        """
        inbox = InboxOperations(self.connection, consumer)
        return await inbox.baseline_sequences(producer, aggregate_types=aggregate_types)

    async def begin_at(
        self, consumer: str, sequences: Mapping[Stream, int], *, note: str = ""
    ) -> int:
        """Let a new consumer begin after these sequences; returns in how many streams it does.

        Streams in which it has begun are left alone.
        """
        async with self.record.change("begin consumer", consumer, note=note) as change:
            inbox = InboxOperations(self.connection, consumer)
            change.events = await inbox.baseline(sequences, only_new=True)
        return change.events

"""The operations of a person on a consumer's streams: show, redrive, discard, skip, baseline.

Invariant: whatever changes a stream happens under the lock of its row, as in the consumer itself,
and leaves the order as it was. Each method is one transaction of its own on the connection given
(a redrive or a baseline of many streams several), or part of the one that is open there. Consumers
hear of it when it commits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from outbox.errors import NothingMissing, NotParked
from outbox.event import Stream
from outbox.inbox.parked_events import ParkedEvents
from outbox.inbox.parked_rows import FORKED, Gap, ParkedEvent
from outbox.inbox.position import Connection, LockedPositions
from outbox.log import operator_queries as sql

__all__ = ["Gap", "InboxOperations", "ParkedEvent", "list_parked", "producer_streams"]

CHUNK = 1_000
"""At most this many streams are locked together: consumers that meet them wait."""

REDRIVE = "inbox_redrive"
"""The channel on which consumers hear that something is to be tried now; says for whom."""

_NOTIFY = "SELECT pg_notify(%s, %s)"


@dataclass(frozen=True, slots=True)
class InboxOperations:
    """The operations on one consumer's streams, on a connection to the consumer's database."""

    connection: Connection
    consumer: str

    @property
    def _parked(self) -> ParkedEvents:
        return ParkedEvents(self.connection, self.consumer)

    async def show(self, stream: Stream, sequence: int | None = None) -> list[ParkedEvent]:
        """The parked events of a stream in order, with bodies; two at a sequence that forked."""
        return await self._parked.show(stream, sequence)

    async def gaps(self, *, limit: int = 100) -> list[Gap]:
        """Streams that wait for events which have not arrived, the longest waiting first."""
        return await self._parked.gaps(limit=limit)

    async def progress(self, stream: Stream) -> tuple[int, int | None]:
        """How far the consumer has come in a stream, and the first sequence parked beyond."""
        return (await self._parked.progress(stream)).get(stream, (0, None))

    async def redrive(
        self,
        *,
        stream: Stream | None = None,
        reason: str | None = None,
        types: Sequence[str] | None = None,
    ) -> int:
        """Let the first event of each stopped stream be tried at once, as if it were new.

        Of one stream, of those whose first event is parked for a reason or has one of these types,
        or of all. What waits behind follows in order. It works after the last attempt too, and
        comes before all that is retried by itself. Returns for how many streams.
        """
        async with self.connection.transaction():
            streams = await self._parked.stopped_streams(stream, reason=reason, types=types)
        due = 0
        for start in range(0, len(streams), CHUNK):
            chunk = streams[start : start + CHUNK]
            async with self.connection.transaction():
                locked = await self._lock(chunk)
                await locked.forget_attempts_of_next(chunk)  # see decision 0503
                due += await self._parked.redrive_next(chunk)
                await self._notify()
        return due

    async def discard(
        self, stream: Stream, sequence: int, *, event_id: UUID | None = None, note: str = ""
    ) -> ParkedEvent:
        """Do without a parked event: it never takes effect, and those behind it are applied.

        The stream moves past it in the same transaction, or after the earlier events that it
        still waits for. The whole event is kept in `inbox_discarded`. `event_id` chooses where two
        are parked at one sequence. Raises `NotParked`.
        """
        async with self.connection.transaction():
            locked = await self._lock({stream})
            position = locked[stream]
            event = _one_of(await self.show(stream, sequence), stream, event_id)
            await self._parked.record_discarded(event, note)
            if event.reason == FORKED or sequence <= position.last_sequence:
                await self._parked.remove(event)
                position.parked -= 1
            else:
                await self._parked.mark_discarded(event)  # see decision 0505
                await self._parked.pass_discarded(stream, position)
            await self._go_on(stream, locked)
        return event

    async def skip(
        self, stream: Stream, *, through: int | None = None, tail: bool = False, note: str = ""
    ) -> tuple[int, int]:
        """Do without events that never arrived, so that those beyond them are applied.

        Without `through`, exactly up to the first event that waits. A skipped event that arrives
        later is a duplicate. So where no event waits, what is skipped may be the future, and
        `tail` has to say that this is meant. Returns the first and the last sequence skipped.
        Raises `NothingMissing` if there is no gap, or an event in it is parked: discard that one.
        """
        async with self.connection.transaction():
            locked = await self._lock({stream})
            position = locked[stream]
            first = position.last_sequence + 1
            _, waiting = await self.progress(stream)
            last = through if through is not None else (waiting or first) - 1
            if last < first or (waiting <= last if waiting is not None else not tail):
                raise NothingMissing(stream, first, last, waiting)
            await self._parked.record_skipped(stream, first, last, note)
            position.last_sequence, position.last_event_id = last, None
            await self._parked.pass_discarded(stream, position)
            await self._go_on(stream, locked)
        return first, last

    async def baseline(self, sequences: Mapping[Stream, int], *, only_new: bool = False) -> int:
        """Let the consumer go on after these sequences, whatever it has applied.

        0 means from the beginning: everything that is delivered again takes effect again. What is
        parked at or below its stream's sequence is removed, what is parked beyond it is applied.

        For a consumer that runs meanwhile, `only_new` leaves alone a stream in which it has begun
        by now. Where events wait, a new stream begins with the first of them. Returns how many
        streams were changed.
        """
        streams = sorted(sequences, key=str)
        changed = 0
        for start in range(0, len(streams), CHUNK):
            chunk = {stream: sequences[stream] for stream in streams[start : start + CHUNK]}
            changed += await self._baseline(chunk, only_new)
        return changed

    async def baseline_sequences(
        self, producer: Connection, *, aggregate_types: list[str] | None = None
    ) -> dict[Stream, int]:
        """After which sequence a new consumer begins in each stream, without the past.

        Streams in which it has begun are left out. Where events wait, it begins with the first of
        them, else with the next to come.
        """
        streams = await producer_streams(producer, aggregate_types=aggregate_types)
        for stream, (applied, waiting) in (await self._parked.progress()).items():
            if applied > 0:
                streams.pop(stream, None)
            elif waiting is not None and stream in streams:
                streams[stream] = waiting - 1
        return {stream: last for stream, last in streams.items() if last > 0}

    async def _baseline(self, sequences: Mapping[Stream, int], only_new: bool) -> int:
        async with self.connection.transaction():
            locked = await self._lock(sequences)
            for stream, position in list(locked.items()):
                last = sequences[stream]
                if only_new:
                    if position.parked:
                        _, waiting = await self.progress(stream)
                        last = last if waiting is None else waiting - 1
                    if position.last_sequence > 0 or last == 0:
                        del locked[stream]
                        continue
                await self._go_on_after(last, stream, locked)
            await locked.store()
            await self._notify()
        return len(locked)

    async def _go_on_after(self, last: int, stream: Stream, locked: LockedPositions) -> None:
        position = locked[stream]
        position.last_sequence, position.last_event_id, position.blocked = last, None, False
        if position.parked:
            position.parked -= await self._parked.remove_through(stream, last)
            await self._parked.pass_discarded(stream, position)
            await self._parked.make_due(stream, position.last_sequence + 1)

    async def _go_on(self, stream: Stream, locked: LockedPositions) -> None:
        await locked.store()
        position = locked[stream]
        if position.parked and not position.blocked:
            await locked.forget_attempts_of_next([stream])
            await self._parked.redrive_next([stream])
        await self._notify()

    async def _lock(self, streams: Iterable[Stream]) -> LockedPositions:
        return await LockedPositions.lock(self.connection, self.consumer, streams)

    async def _notify(self) -> None:
        await self.connection.execute(_NOTIFY, [REDRIVE, self.consumer])


async def list_parked(
    connection: Connection,
    consumer: str | None = None,
    *,
    reason: str | None = None,
    aggregate_id: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[ParkedEvent]:
    """Parked events without their bodies, the longest waiting first; of one consumer or of all."""
    return await ParkedEvents(connection, consumer).find(
        reason=reason, aggregate_id=aggregate_id, limit=limit, offset=offset
    )


async def producer_streams(
    producer: Connection, *, aggregate_types: list[str] | None = None
) -> dict[Stream, int]:
    """How far a producer's streams have come, by its own database: for a baseline at their end.

    Publish nothing to them meanwhile, or begin to consume before: an event that is written between
    this reading and the binding of the queue becomes a gap.
    """
    cursor = await producer.execute(sql.STREAMS_OF_TYPES, {"types": aggregate_types})
    return {Stream(source, kind, id_): last for source, kind, id_, last in await cursor.fetchall()}


def _one_of(found: list[ParkedEvent], stream: Stream, event_id: UUID | None) -> ParkedEvent:
    matching = [event for event in found if event_id in (None, event.event_id)]
    if len(matching) != 1:
        raise NotParked(stream, [event.event_id for event in found])
    return matching[0]

"""The operations of a person on a consumer's streams: show, redrive, edit, discard, skip, baseline.

Invariant: whatever changes a stream happens under the lock of its row, as in the consumer itself,
and leaves the order as it was. Each method is one transaction of its own on the connection given,
or part of the one that is open there. A change of many streams is several transactions, can be
stopped after any of them, and run again. Consumers hear of it when it commits.

One file, because all of it is one consumer's streams under one lock.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from outbox.errors import NothingMissing, NotParked
from outbox.event import Stream
from outbox.inbox.edits import Edits
from outbox.inbox.parked_events import ParkedEvents
from outbox.inbox.parked_queries import ParkedQueries
from outbox.inbox.parked_rows import FORKED, Gap, ParkedEvent, ParkedGroup, Preview
from outbox.inbox.parked_selection import EVERYTHING, ParkedSelection
from outbox.inbox.position import Connection, LockedPositions
from outbox.log import operator_queries as sql
from outbox.log.event_checks import checked_body
from outbox.postgres.notify import INBOX_CHANGES

__all__ = [
    "Gap",
    "InboxOperations",
    "ParkedEvent",
    "ParkedGroup",
    "ParkedQueries",
    "ParkedSelection",
    "Preview",
    "list_parked",
    "producer_streams",
]

Progress = Callable[[int], None]
"""Is called after each transaction with how many have been moved so far."""

CHUNK = 1_000
"""At most this many streams are locked together: consumers that meet them wait."""
DISCARDED_TOGETHER = 200
"""At most this many events are discarded in one transaction."""

_NOTIFY = "SELECT pg_notify(%s, %s)"


@dataclass(frozen=True, slots=True)
class InboxOperations:
    """The operations on one consumer's streams, on a connection to the consumer's database."""

    connection: Connection
    consumer: str

    @property
    def _parked(self) -> ParkedEvents:
        return ParkedEvents(self.connection, self.consumer)

    @property
    def _queries(self) -> ParkedQueries:
        return ParkedQueries(self.connection, self.consumer)

    async def show(self, stream: Stream, sequence: int | None = None) -> list[ParkedEvent]:
        """The first parked events of a stream, with bodies; two at a sequence that forked."""
        found, _ = await self._queries.show(stream, sequence)
        return found

    async def gaps(self, *, limit: int = 100) -> list[Gap]:
        """Streams that wait for events which have not arrived, the longest waiting first."""
        return await self._queries.gaps(limit=limit)

    async def progress(self, stream: Stream) -> tuple[int, int | None]:
        """How far the consumer has come in a stream, and the first sequence parked beyond."""
        return (await self._queries.progress(stream)).get(stream, (0, None))

    async def preview_redrive(
        self, selection: ParkedSelection = EVERYTHING, *, limit: int | None = None
    ) -> Preview:
        """What a redrive would move: the events that it tries, and those that follow."""
        return await self._queries.preview_redrive(selection, limit=limit)

    async def redrive(
        self,
        selection: ParkedSelection = EVERYTHING,
        *,
        limit: int | None = None,
        progress: Progress | None = None,
    ) -> int:
        """Let the first event of each stopped stream be tried at once, as if it were new.

        Of the streams whose first event is selected. What waits behind follows in order. It works
        after the last attempt too, and comes before what is retried by itself. Returns for how
        many streams, at most `limit`; `progress` hears of each thousand.
        """
        due, last, left = 0, None, limit or sys.maxsize
        while left and (chunk := await self._stopped_streams(selection, last, min(CHUNK, left))):
            last, left = chunk[-1], left - len(chunk)
            async with self.connection.transaction():
                locked = await self._lock(chunk)
                await locked.forget_attempts_of_next(chunk)  # see decision 0503
                due += await self._parked.redrive_next(chunk, selection)
                await self._notify()
            if progress is not None:
                progress(due)
        return due

    async def preview_discard(self, selection: ParkedSelection) -> Preview:
        """What `discard_selected` would move: the events given up, and those that follow."""
        return await self._queries.preview_discard(selection)

    async def discard_selected(
        self, selection: ParkedSelection, *, note: str = "", progress: Progress | None = None
    ) -> int:
        """Discard all parked events that are selected, as `discard` does.

        Give the selection the time of its preview as `until`: those that fail meanwhile are others.
        Returns how many; `progress` hears of each 200.
        """
        gone, last = 0, None
        while chunk := await self._discardable(selection, last):
            async with self.connection.transaction():
                locked = await self._lock({event.stream for event in chunk})
                # Again, under the lock: some may have been applied meanwhile.
                found = await self._discardable(selection, last)
                found = [event for event in found if event.stream in locked]
                await self._discard(found, locked, note)
            gone, last = gone + len(found), chunk[-1]
            if progress is not None:
                progress(gone)
        return gone

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
            event = _one_of(await self.show(stream, sequence), stream, event_id)
            await self._discard([event], locked, note)
        return event

    async def edit(
        self, stream: Stream, sequence: int, event_id: UUID, body: bytes, *, note: str = ""
    ) -> ParkedEvent:
        """Give a parked event another body, and have it tried now if its stream waits for it.

        The event as it was is kept in `inbox_discarded`, and returned. Raises `InvalidEvent` for a
        body that is not JSON, and `NotParked`.
        """
        checked = checked_body(body).encode()
        async with self.connection.transaction():
            locked = await self._lock({stream})
            event = _one_of(await self.show(stream, sequence), stream, event_id)
            await Edits(self.connection, self.consumer).replace(event, checked, note)
            if sequence == locked[stream].last_sequence + 1:
                await locked.forget_attempts_of_next([stream])
                await self._parked.redrive_next([stream], ParkedSelection(event_id=event_id))
            await self._notify()
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
            await self._go_on(locked)
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
        for stream, (applied, waiting) in (await self._queries.progress()).items():
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

    async def _stopped_streams(
        self, selection: ParkedSelection, last: Stream | None, limit: int
    ) -> list[Stream]:
        async with self.connection.transaction():
            return await self._queries.stopped_streams(selection, after=last, limit=limit)

    async def _discardable(
        self, selection: ParkedSelection, last: ParkedEvent | None
    ) -> list[ParkedEvent]:
        async with self.connection.transaction():
            limit = DISCARDED_TOGETHER
            return await self._queries.discardable(selection, after=last, limit=limit)

    async def _discard(
        self, events: Sequence[ParkedEvent], locked: LockedPositions, note: str
    ) -> None:
        await self._parked.record_discarded(events, note)
        for event in events:
            if _is_past(event, locked):
                await self._parked.remove(event)
                locked[event.stream].parked -= 1
        to_come = [event for event in events if not _is_past(event, locked)]
        await self._parked.mark_discarded(to_come)  # see decision 0505
        for stream, position in locked.items():
            await self._parked.pass_discarded(stream, position)
        await self._go_on(locked)

    async def _go_on(self, locked: LockedPositions) -> None:
        await locked.store()
        ready = [stream for stream, one in locked.items() if one.parked and not one.blocked]
        if ready:
            await locked.forget_attempts_of_next(ready)
            await self._parked.redrive_next(ready)
        await self._notify()

    async def _lock(self, streams: Iterable[Stream]) -> LockedPositions:
        return await LockedPositions.lock(self.connection, self.consumer, streams)

    async def _notify(self) -> None:
        await self.connection.execute(_NOTIFY, [INBOX_CHANGES, self.consumer])


async def list_parked(
    connection: Connection,
    consumer: str | None = None,
    selection: ParkedSelection = EVERYTHING,
    *,
    limit: int = 100,
    offset: int = 0,
) -> list[ParkedEvent]:
    """Parked events without their bodies, the longest waiting first; of one consumer or of all."""
    return await ParkedQueries(connection, consumer).find(selection, limit=limit, offset=offset)


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


def _is_past(event: ParkedEvent, locked: LockedPositions) -> bool:
    """Whether its stream never comes to it."""
    return event.reason == FORKED or event.sequence <= locked[event.stream].last_sequence

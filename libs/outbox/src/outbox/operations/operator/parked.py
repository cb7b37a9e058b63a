"""Events that consumers have parked: what a person sees of them, and what a person does.

A change says first what it would move (`preview_…`). Given that as `seen`, it begins only if it
would move exactly this. What has failed after the preview is left alone, and what others move
meanwhile is passed over.

One file, because each change stands beside its preview.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from uuid import UUID

from outbox.errors import InvalidSetting, NothingMissing, NotParked
from outbox.event import Stream
from outbox.inbox.missing_events import MissingEvents, MissingOfStream
from outbox.inbox.operations import Gap, InboxOperations, ParkedQueries
from outbox.inbox.parked_rows import ParkedCount, ParkedEvent, ParkedGroup, Preview
from outbox.inbox.parked_selection import EVERYTHING, ParkedSelection
from outbox.operations.database import Connection, now
from outbox.operations.operator.record import Record, refuse_changed
from outbox.operations.pages import Page, cursor, key_of

Progress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Parked:
    """The parked events of all consumers of one database."""

    connection: Connection
    record: Record

    async def groups(
        self,
        selection: ParkedSelection = EVERYTHING,
        *,
        consumer: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> Sequence[ParkedGroup]:
        """What stops streams, by consumer, event type and cause; the most streams first."""
        queries = ParkedQueries(self.connection, consumer)
        return await queries.groups(selection, limit=limit, offset=offset)

    async def counts(self, consumer: str | None = None) -> Sequence[ParkedCount]:
        """How many events wait, by consumer and reason. Reads all of them."""
        return await ParkedQueries(self.connection, consumer).counts()

    async def list(
        self,
        consumer: str | None = None,
        selection: ParkedSelection = EVERYTHING,
        *,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[ParkedEvent]:
        """Parked events without their bodies, by consumer, stream and sequence."""
        key = None
        if after is not None:
            name, source, kind, id_, sequence, event_id = key_of(
                after, str, str, str, str, int, UUID
            )
            key = (name, Stream(source, kind, id_), sequence, event_id)
        queries = ParkedQueries(self.connection, consumer)
        found = await queries.page(selection, after=key, limit=limit + 1)
        return Page.of(found, limit, _key)

    async def show(
        self,
        consumer: str,
        stream: Stream,
        sequence: int | None = None,
        *,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[ParkedEvent]:
        """The parked events of a stream in order, with bodies; two at a sequence that forked.

        A page ends early where its bodies have many bytes.
        """
        last, event_id = key_of(after, int, UUID) if after else (0, UUID(int=0))
        queries = ParkedQueries(self.connection, consumer)
        found, is_more = await queries.show(stream, sequence, after=(last, event_id), limit=limit)
        return Page(found, cursor(*_key(found[-1])[-2:]) if is_more else None)

    async def gaps(self, consumer: str, *, limit: int = 100) -> Sequence[Gap]:
        """Streams that wait for events which have not arrived, the longest waiting first."""
        return await self._inbox(consumer).gaps(limit=limit)

    async def missing(self, consumer: str, *, limit: int = 100) -> Sequence[MissingOfStream]:
        """Events that are known and have not arrived, by stream."""
        return await MissingEvents(self.connection, consumer).streams(limit=limit)

    async def progress(self, consumer: str, stream: Stream) -> tuple[int, int | None]:
        """How far a consumer has come in a stream, and the first sequence parked beyond."""
        return await self._inbox(consumer).progress(stream)

    async def preview_redrive(
        self,
        consumer: str,
        selection: ParkedSelection = EVERYTHING,
        *,
        limit: int | None = None,
    ) -> Preview:
        """What a redrive of at most so many streams would try; the followers wait behind."""
        return await self._inbox(consumer).preview_redrive(selection, limit=limit)

    async def redrive(
        self,
        consumer: str,
        selection: ParkedSelection = EVERYTHING,
        *,
        seen: Preview | None = None,
        limit: int | None = None,
        note: str = "",
        progress: Progress | None = None,
    ) -> int:
        """Try the first event of each selected stream now; returns for how many streams."""
        async with self.record.change("redrive parked", consumer, note=note) as change:
            selection = _until(selection, seen)
            if seen is not None:
                refuse_changed(seen, await self.preview_redrive(consumer, selection, limit=limit))
            change.detail = _sentence(selection)
            inbox = self._inbox(consumer)
            change.events = await inbox.redrive(selection, limit=limit, progress=progress)
        return change.events

    async def preview_discard(self, consumer: str, selection: ParkedSelection) -> Preview:
        """What a discard would give up; the followers are applied afterwards."""
        return await self._inbox(consumer).preview_discard(selection)

    async def discard(
        self,
        consumer: str,
        selection: ParkedSelection,
        *,
        seen: Preview | None = None,
        note: str = "",
        progress: Progress | None = None,
    ) -> int:
        """Give up all selected events, so that their streams go on; returns how many.

        Raises `InvalidSetting` for a selection that chooses nothing in particular.
        """
        if selection.is_everything:
            raise InvalidSetting("selection", "has to say which events are discarded")
        async with self.record.change("discard parked", consumer, note=note) as change:
            selection = _until(selection, seen)
            if seen is not None:
                refuse_changed(seen, await self.preview_discard(consumer, selection))
            change.detail = _sentence(selection)
            inbox = self._inbox(consumer)
            change.events = await inbox.discard_selected(selection, note=note, progress=progress)
        return change.events

    async def discard_event(
        self,
        consumer: str,
        stream: Stream,
        sequence: int,
        *,
        event_id: UUID | None = None,
        note: str = "",
    ) -> ParkedEvent:
        """Give up one event. Raises `NotParked` if it is not there, or if there are two."""
        target = f"{consumer} {stream} at {sequence}"
        async with self.record.change(
            "discard parked", target, note=note, one_transaction=True
        ) as change:
            inbox = self._inbox(consumer)
            event = await inbox.discard(stream, sequence, event_id=event_id, note=note)
            change.events = 1
        return event

    async def preview_skip(
        self,
        consumer: str,
        stream: Stream,
        *,
        through: int | None = None,
        tail: bool = False,
    ) -> Preview:
        """The sequences that a skip would give up. Raises `NothingMissing` if there are none."""
        at, waiting = await self.progress(consumer, stream)
        last = through or (waiting - 1 if waiting else at)
        if last <= at or (waiting is not None and waiting <= last) or not (waiting or tail):
            raise NothingMissing(stream, at + 1, last, waiting)
        behind = await ParkedQueries(self.connection, consumer).parked_in(stream)
        return Preview(last - at, 1, behind, await now(self.connection), f"{at + 1}-{last}")

    async def skip(
        self,
        consumer: str,
        stream: Stream,
        *,
        through: int | None = None,
        tail: bool = False,
        seen: Preview | None = None,
        note: str = "",
    ) -> tuple[int, int]:
        """Do without events that never arrived; returns the first and the last sequence."""
        target = f"{consumer} {stream}"
        async with self.record.change(
            "skip missing", target, note=note, one_transaction=True
        ) as change:
            if seen is not None:
                found = await self.preview_skip(consumer, stream, through=through, tail=tail)
                refuse_changed(seen, found)
            inbox = self._inbox(consumer)
            first, last = await inbox.skip(stream, through=through, tail=tail, note=note)
            change.events, change.detail = last - first + 1, f"{first} to {last}"
        return first, last

    async def preview_edit(
        self, consumer: str, stream: Stream, sequence: int, event_id: UUID
    ) -> Preview:
        """The event that an edit would change, with its body as it is now."""
        found = (await self.show(consumer, stream, sequence)).items
        bodies = [event.body or b"" for event in found if event.event_id == event_id]
        if not bodies:
            raise NotParked(stream, [event.event_id for event in found])
        parked = await ParkedQueries(self.connection, consumer).parked_in(stream)
        digest = sha256(bodies[0]).hexdigest()[:16]
        return Preview(1, 1, parked - 1, await now(self.connection), digest)

    async def edit(
        self,
        consumer: str,
        stream: Stream,
        sequence: int,
        event_id: UUID,
        body: bytes,
        *,
        seen: Preview | None = None,
        note: str = "",
    ) -> ParkedEvent:
        """Give a parked event another body and try it now. Its followers go on in order after it.

        Returns the event as it was, which is kept in `inbox_discarded`.
        """
        target = f"{consumer} {stream} at {sequence}"
        async with self.record.change(
            "edit parked", target, note=note, one_transaction=True
        ) as change:
            if seen is not None:
                found = await self.preview_edit(consumer, stream, sequence, event_id)
                refuse_changed(seen, found)
            inbox = self._inbox(consumer)
            event = await inbox.edit(stream, sequence, event_id, body, note=note)
            change.events, change.detail = 1, f"event {event_id}"
        return event

    def _inbox(self, consumer: str) -> InboxOperations:
        return InboxOperations(self.connection, consumer)


def _key(event: ParkedEvent) -> tuple[object, ...]:
    stream = event.stream
    return (
        event.consumer,
        stream.source,
        stream.aggregate_type,
        stream.aggregate_id,
        event.sequence,
        event.event_id,
    )


def _until(selection: ParkedSelection, seen: Preview | None) -> ParkedSelection:
    """What was seen: without what has failed since."""
    if seen is None:
        return selection
    return replace(selection, until=min(selection.until or seen.at, seen.at))


def _sentence(selection: ParkedSelection) -> str:
    """What was chosen, for the record."""
    return ", ".join(
        f"{name} {chosen}"
        for name in ParkedSelection.__slots__
        if (chosen := getattr(selection, name)) is not None and name != "until"
    )

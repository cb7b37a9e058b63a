"""What waits in the streams of one transaction: what is stored, and what the transaction adds.

Invariant: nothing is written before `flush`. An event that is parked and caught up by the same
transaction never reaches the table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from math import inf
from uuid import UUID

from outbox.event import Envelope, Stream
from outbox.inbox.parked_events import AT_ONCE, BYTES_AT_ONCE, ParkedEvents
from outbox.inbox.parked_rows import ParkedEvent
from outbox.inbox.position import Decision, LockedPositions


class WaitingEvents:
    """The events that wait, by stream and sequence; the streams are locked."""

    def __init__(self, parked: ParkedEvents, positions: LockedPositions) -> None:
        self._parked = parked
        self._positions = positions
        self._stored: dict[Stream, dict[int, ParkedEvent]] = {}
        self._known_through: dict[Stream, float] = {}
        """Up to which sequence `_stored` has all that is stored."""
        self._added: dict[Stream, dict[int, tuple[Envelope, Decision]]] = {}
        self._forked: list[tuple[Envelope, Decision]] = []
        self._applied: list[Envelope] = []
        self._due: set[Stream] = set()

    def are_in(self, stream: Stream) -> bool:
        """Whether anything waits in a stream."""
        return self._positions[stream].parked > 0 or stream in self._added

    def may_go_on(self, stream: Stream) -> bool:
        """Whether what waits in a stream may be next now."""
        return self.are_in(stream) and not self._positions[stream].blocked

    async def read_behind(self, events: Iterable[Envelope]) -> None:
        """Read what waits behind those of these events that are next: one statement for all."""
        positions = self._positions
        after = {
            event.stream: positions[event.stream].last_sequence
            for event in events
            if positions[event.stream].parked
            and not positions[event.stream].blocked
            and positions.is_next(event)
        }
        if after:
            await self._read(after)

    async def at_next(self, stream: Stream) -> ParkedEvent | Envelope | None:
        """The event that waits at the next sequence of a stream."""
        position = self._positions[stream]
        sequence = position.last_sequence + 1
        if position.parked and sequence > self._known_through.get(stream, 0):
            await self._read({stream: position.last_sequence}, if_next=True)
        stored = self._stored.get(stream, {}).get(sequence)
        if stored is not None:
            return stored
        event, _ = self._added.get(stream, {}).get(sequence, (None, None))
        return event

    def add(self, event: Envelope, decision: Decision) -> None:
        """Keep an event for later; the second one at a sequence is forked."""
        first = self._at(event.stream, event.sequence)
        if decision is Decision.FORKED or (first is not None and first != event.id):
            self._forked.append((event, Decision.FORKED))
        elif first is None:
            self._added.setdefault(event.stream, {})[event.sequence] = (event, decision)

    def forget(self, event: Envelope) -> None:
        """What was added is kept in another way, or not at all."""
        added = self._added.get(event.stream, {})
        if event.sequence in added and added[event.sequence][0].id == event.id:
            del added[event.sequence]
            if not added:
                del self._added[event.stream]

    def applied(self, event: Envelope) -> None:
        """The event has taken effect and waits no longer."""
        if self._positions[event.stream].parked:
            self._applied.append(event)
        self.forget(event)

    def make_due(self, stream: Stream) -> None:
        """Let what is next in the stream be tried soon, by the retrier."""
        self._due.add(stream)

    def give_back(self, is_early: Callable[[Envelope], bool]) -> list[Envelope]:
        """Leave out what was added and may have its predecessor in a moment."""
        early = [
            event
            for added in self._added.values()
            if len(added) == 1
            for event, decision in added.values()
            if decision is Decision.GAP and is_early(event) and self._lacks_one(event)
        ]
        for event in early:
            self.forget(event)
        return early

    async def flush(self) -> Counter[str]:
        """Write all that has changed; returns the events that were added, by their reason."""
        reasons: Counter[str] = Counter()
        added = [one for events in self._added.values() for one in events.values()]
        if added or self._forked:
            kept = await self._parked.park([*added, *self._forked])
            for stream, reason in kept:
                self._positions[stream].parked += 1
                reasons[reason] += 1
            reasons[Decision.DUPLICATE] += len(added) + len(self._forked) - len(kept)
        if self._applied:
            for stream in await self._parked.remove_all(self._applied):
                self._positions[stream].parked -= 1
        for stream in self._due:
            await self._parked.make_due(stream, self._positions[stream].last_sequence + 1)
        return reasons

    async def _read(self, after: Mapping[Stream, int], *, if_next: bool = False) -> None:
        found = await self._parked.waiting(after, if_next=if_next)
        for stream in after:
            events = found.get(stream, [])
            self._stored[stream] = {event.sequence: event for event in events}
            if len(events) == AT_ONCE or sum(event.size for event in events) >= BYTES_AT_ONCE:
                self._known_through[stream] = events[-1].sequence
            else:
                self._known_through[stream] = after[stream] + 1 if if_next and not events else inf

    def _at(self, stream: Stream, sequence: int) -> UUID | None:
        stored = self._stored.get(stream, {}).get(sequence)
        added = self._added.get(stream, {}).get(sequence)
        return stored.event_id if stored else added[0].id if added else None

    def _lacks_one(self, event: Envelope) -> bool:
        position = self._positions[event.stream]
        return not position.parked and event.sequence == position.last_sequence + 2

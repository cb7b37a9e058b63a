"""What has arrived in one process, and which worker may have it.

Invariant: a stream is in one worker's hands at a time, and of its deliveries with one sequence the
first that arrived leaves first.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import chain

from aiormq.abc import DeliveredMessage

from outbox.event import Envelope, Stream


@dataclass(slots=True, eq=False)
class Received:
    """An event with its delivery."""

    event: Envelope
    delivery: DeliveredMessage
    patient_until: float | None = None
    """Set when it came too early: after this time it is parked if it still is."""

    @property
    def is_redelivered(self) -> bool:
        """Whether a process may have died of it."""
        return bool(self.delivery.redelivered)

    @property
    def arrival(self) -> int:
        """The broker numbers the deliveries of a channel."""
        return self.delivery.delivery_tag or 0


class Dispatcher:
    """Deliveries by the order of arrival, without those of streams that a worker has in hand."""

    def __init__(self) -> None:
        self._ready: deque[Received] = deque()
        self._in_hand: dict[Stream, list[Received]] = {}
        """What waits until a worker has released the stream."""
        self._assigned: set[Received] = set()

    def __len__(self) -> int:
        """How many can be assigned; a few more while streams of theirs are in hand."""
        return len(self._ready)

    @property
    def in_hand(self) -> list[Envelope]:
        """All that has arrived and is not released."""
        waiting = chain(self._ready, self._assigned, *self._in_hand.values())
        return [received.event for received in waiting]

    def add(self, received: Received) -> None:
        """A delivery has arrived."""
        self._ready.append(received)

    def assign(self, most: int) -> list[Received]:
        """The next deliveries for one worker, which has their streams in hand from now on."""
        batch: list[Received] = []
        mine: set[Stream] = set()
        while self._ready and len(batch) < most:
            first = self._ready.popleft()
            stream = first.event.stream
            if stream not in mine and stream in self._in_hand:
                self._in_hand[stream].append(first)
            else:
                batch.append(first)
                mine.add(stream)
                self._in_hand.setdefault(stream, [])
        self._assigned.update(batch)
        return batch

    def release(self, batch: Sequence[Received], *, left: Collection[Received] = ()) -> None:
        """These streams are in hand no more. What was `left` of the batch is assigned again, first.

        A stream is released whole: all that the batch has of it. What came too early goes behind
        the predecessor that has arrived meanwhile.
        """
        self._assigned.difference_update(batch)
        again = [one for one in batch if one in left]
        for stream in {received.event.stream for received in batch}:
            again += self._in_hand.pop(stream)
        self._ready.extendleft(reversed(_in_order(again)))


def _in_order(deliveries: Sequence[Received]) -> list[Received]:
    """By arrival, but within a stream by sequence."""
    streams: defaultdict[Stream, deque[Received]] = defaultdict(deque)
    for one in sorted(deliveries, key=lambda one: (one.event.sequence, one.arrival)):
        streams[one.event.stream].append(one)
    by_arrival = sorted(deliveries, key=lambda one: one.arrival)
    return [streams[one.event.stream].popleft() for one in by_arrival]

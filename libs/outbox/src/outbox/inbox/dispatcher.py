"""What has arrived in one process, and which worker may have it.

Invariant: a stream is in one worker's hands at a time, and its deliveries leave in the order in
which they arrived.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from aiormq.abc import DeliveredMessage

from outbox.event import Envelope, Stream


@dataclass(slots=True, eq=False)
class Received:
    """An event with its delivery."""

    event: Envelope
    delivery: DeliveredMessage
    patient_until: float | None = None
    """Set when it came too early: from then on it is parked if it still does."""

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

    def __len__(self) -> int:
        """How many can be taken; a few more while streams of theirs are in hand."""
        return len(self._ready)

    @property
    def starts_alone(self) -> bool:
        """Whether the first is redelivered: it is handled alone."""
        return bool(self._ready) and self._ready[0].is_redelivered

    def add(self, received: Received) -> None:
        """A delivery has arrived."""
        self._ready.append(received)

    def assign(self, most: int) -> list[Received]:
        """The next deliveries for one worker, which has their streams in hand from now on.

        A redelivered one is alone, because a process may have died of it.
        """
        batch: list[Received] = []
        mine: set[Stream] = set()
        while self._ready and len(batch) < most:
            first = self._ready[0]
            stream = first.event.stream
            if stream not in mine and stream in self._in_hand:
                self._in_hand[stream].append(self._ready.popleft())
                continue
            if first.is_redelivered and batch:
                break
            batch.append(self._ready.popleft())
            if stream not in mine:
                mine.add(stream)
                self._in_hand[stream] = []
            if first.is_redelivered:
                break
        return batch

    def release(self, batch: Iterable[Received], *, left: Iterable[Received] = ()) -> None:
        """The worker has done its batch, but for what it left: that can be taken again, first."""
        again = list(left)
        for stream in {received.event.stream for received in batch}:
            again += self._in_hand.pop(stream)
        again.sort(key=lambda received: received.arrival)
        self._ready.extendleft(reversed(again))

"""The windows under way, in the order in which they were sent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from outbox.log.row import OutboxRow
from outbox.publisher.publisher import Flight
from outbox.relay.log_reader import array_of


@dataclass(frozen=True, slots=True)
class Sent:
    """A window that the broker has yet to answer, or whose rows have yet to be marked."""

    number: int
    entries: Sequence[OutboxRow]
    flight: Flight
    ids: str
    """Comma-separated: made once, used by each look until the window is settled."""


class InFlight:
    """At most so many windows at once; in them, aggregates of which an event has failed.

    What follows a failed event of its aggregate counts as unsent, in its own window and in those
    that were under way already.
    """

    def __init__(self) -> None:
        self._windows: deque[Sent] = deque()
        self._changed = asyncio.Condition()
        self._broken: dict[str, int] = {}
        self._count = 0

    def __len__(self) -> int:
        return len(self._windows)

    @property
    def ids(self) -> str | None:
        """All ids as a PostgreSQL array, or None."""
        return "{" + ",".join(window.ids for window in self._windows) + "}" if self else None

    def next_number(self) -> int:
        """The number of a window that is about to be written."""
        self._count += 1
        return self._count

    async def add(self, number: int, entries: Sequence[OutboxRow], flight: Flight) -> None:
        """A window has been written."""
        ids = array_of(entry.id for entry in entries)[1:-1]
        async with self._changed:
            self._windows.append(Sent(number, entries, flight, ids))
            self._changed.notify_all()

    async def oldest(self) -> Sent:
        """Wait for a window to settle; it stays until `settled` says that it is."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._windows)
            return self._windows[0]

    async def settled(self) -> None:
        """The oldest window is done with."""
        async with self._changed:
            number = self._windows.popleft().number
            self._broken = {key: last for key, last in self._broken.items() if last > number}
            self._changed.notify_all()

    async def room(self, at_most: int, stop: asyncio.Event | None = None) -> bool:
        """Wait until fewer than so many windows are under way; 1 waits until none is.

        False if told to stop before that: a blocked broker answers when it can.
        """

        def there_is() -> bool:
            return len(self._windows) < at_most

        async with self._changed:
            await self._changed.wait_for(lambda: there_is() or (stop is not None and stop.is_set()))
            return there_is()

    async def heed(self, stop: asyncio.Event) -> None:
        """Let those who wait for room hear that it is time to stop. Ends when cancelled."""
        await stop.wait()
        async with self._changed:
            self._changed.notify_all()
        await asyncio.Event().wait()

    def break_(self, key: str) -> None:
        """An event of this aggregate failed: what is under way behind it counts as unsent."""
        self._broken[key] = self._count

    @property
    def broken(self) -> Collection[str]:
        """Aggregates with events under way behind a failed one."""
        return self._broken.keys()

    def event_ids(self) -> set[int]:
        """The log ids of all events under way."""
        return {entry.id for window in self._windows for entry in window.entries}

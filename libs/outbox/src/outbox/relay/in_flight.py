"""The windows in flight, in the order in which they were sent.

Invariant: an event that follows a failed event of its aggregate counts as unsent, in its own
window and in the windows that were in flight already.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from outbox.log.relay_queries import array_of
from outbox.log.row import OutboxRow
from outbox.publisher.publisher import Flight


@dataclass(frozen=True, slots=True)
class SentWindow:
    """A window that the broker has yet to answer, or whose rows have yet to be marked."""

    number: int
    rows: Sequence[OutboxRow]
    flight: Flight
    ids: str
    """Comma-separated. Made once and used by each fetch until the window is marked."""


class InFlight:
    """The windows in flight, and the aggregates in them of which an event has failed."""

    def __init__(self) -> None:
        self._windows: deque[SentWindow] = deque()
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
        """The number for a window that is about to be written."""
        self._count += 1
        return self._count

    async def add(self, number: int, rows: Sequence[OutboxRow], flight: Flight) -> None:
        """Add a window that has been written."""
        ids = array_of(row.id for row in rows)[1:-1]
        async with self._changed:
            self._windows.append(SentWindow(number, rows, flight, ids))
            self._changed.notify_all()

    async def oldest(self) -> SentWindow:
        """Wait for a window; it stays until `remove_oldest`."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._windows)
            return self._windows[0]

    async def remove_oldest(self) -> None:
        """Remove the oldest window: its rows are marked."""
        async with self._changed:
            number = self._windows.popleft().number
            self._broken = {key: last for key, last in self._broken.items() if last > number}
            self._changed.notify_all()

    async def wait_for_room(self, below: int, stop: asyncio.Event | None = None) -> bool:
        """Wait until fewer than `below` windows are in flight; 1 waits until none is.

        Returns False if told to stop before that: a blocked broker answers when it can.
        """

        def has_room() -> bool:
            return len(self._windows) < below

        async with self._changed:
            await self._changed.wait_for(lambda: has_room() or (stop is not None and stop.is_set()))
            return has_room()

    async def wake_on(self, stop: asyncio.Event) -> None:
        """Wake those who wait for room when it is time to stop. Ends only by cancellation."""
        await stop.wait()
        async with self._changed:
            self._changed.notify_all()
        await asyncio.Event().wait()

    def mark_broken(self, aggregate: str) -> None:
        """An event of this aggregate failed: those in flight behind it count as unsent."""
        self._broken[aggregate] = self._count

    @property
    def broken(self) -> Collection[str]:
        """Aggregates with events in flight behind a failed one."""
        return self._broken.keys()

    def row_ids(self) -> set[int]:
        """The ids of all rows in flight."""
        return {row.id for window in self._windows for row in window.rows}

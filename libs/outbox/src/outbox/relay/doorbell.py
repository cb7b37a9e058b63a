"""The relay's doorbell: writers ring it after their commit; without a ring the relay polls.

Invariant: the doorbell makes the relay fast and never decides whether an event is published. When
its connection is lost, the relay polls, logs that once, and listens again when it can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager

from outbox.postgres.notifications import Notifications
from outbox.postgres.notify import DOORBELL, RESCAN, SCHEDULED


class Doorbell:
    """Rings when something was committed or scheduled, and when a person has changed something."""

    def __init__(self, notifications: Notifications, exchange: str) -> None:
        self._notifications = notifications
        self._exchange = exchange
        self._rung = asyncio.Event()
        self._more_rung = asyncio.Event()
        self._rescan = False
        self._scheduled = False
        self._controlled = False

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen within the block."""
        async with self._notifications.hearing(DOORBELL, self._hear):
            yield

    def listening_alone(self, is_alone: Callable[[], bool]) -> AbstractContextManager[None]:
        """Within the block, writers of this process ring without PostgreSQL while it is alone."""

        def hear() -> bool:
            if alone := is_alone():
                self.ring()
            return alone

        return self._notifications.hearing_alone(DOORBELL, hear)

    @property
    def is_heard(self) -> bool:
        """Whether a ring would be heard now."""
        return self._notifications.are_heard

    def poll(self, seldom: float) -> float:
        """Seconds after which to ask the database without a ring."""
        return self._notifications.poll(seldom)

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring; true if there was one."""
        return await _wait(self._rung, seconds)

    async def wait_for_more(self, seconds: float) -> bool:
        """Wait until an event was scheduled or a control has changed; true if so."""
        return await _wait(self._more_rung, seconds)

    def ring(self) -> None:
        """There is something to publish."""
        self._rung.set()

    def pop_rescan(self) -> bool:
        """Whether somebody asked for a rescan since the last call."""
        rescan, self._rescan = self._rescan, False
        return rescan

    def pop_scheduled(self) -> bool:
        """Whether an event may have been scheduled since the last call."""
        scheduled, self._scheduled = self._scheduled, False
        return scheduled

    def pop_controlled(self) -> bool:
        """Whether a control of the relay may have changed since the last call."""
        controlled, self._controlled = self._controlled, False
        return controlled

    def _hear(self, payload: str | None) -> None:
        if payload is None or payload == self._exchange:
            self._controlled = True
        if payload is None or SCHEDULED in payload:
            self._scheduled = True
        self._rescan = self._rescan or (payload is not None and RESCAN in payload)
        if self._controlled or self._scheduled:
            self._more_rung.set()
        self.ring()


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True

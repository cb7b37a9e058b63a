"""The relay's doorbell: writers ring it after their commit; without a ring the relay polls.

Invariant: the doorbell makes the relay fast and never decides whether an event is published. When
its connection is lost, the relay polls, logs that once, and listens again when it can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg

from outbox.losses import Server, lost, one_line
from outbox.outages import OUTAGES, Dependent
from outbox.postgres.notify import DOORBELL, SCHEDULED, Listener
from outbox.postgres.sessions import closed_if_cancelled
from outbox.supervise import outlive

logger = logging.getLogger(__name__)

RESCAN = "rescan"
RECONNECT_AFTER = 1.0
HEARD_WITHIN = 5.0


class Doorbell:
    """Rings when something was committed or scheduled, and when a rescan is asked for."""

    def __init__(self, connect: Callable[[], Awaitable[psycopg.AsyncConnection[object]]]) -> None:
        self._connect = connect
        self._rung = asyncio.Event()
        self._schedule_rung = asyncio.Event()
        self._rescan = False
        self._warned = False
        self._dependent = Dependent("doorbell")

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring; true if there was one."""
        return await _wait(self._rung, seconds)

    async def wait_for_schedule(self, seconds: float) -> bool:
        """Wait until an event was scheduled; true if one was."""
        return await _wait(self._schedule_rung, seconds)

    def ring(self) -> None:
        """There is something to publish."""
        self._rung.set()

    def pop_rescan(self) -> bool:
        """Whether somebody asked for a rescan since the last call."""
        rescan, self._rescan = self._rescan, False
        return rescan

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            await outlive(self._listen, self._note, asyncio.Event(), lambda: RECONNECT_AFTER)
        finally:
            OUTAGES.ended(self._dependent)

    def _note(self, problem: Exception) -> None:
        if lost(problem) is Server.DATABASE:
            OUTAGES.lost(self._dependent, Server.DATABASE, one_line(problem))
        else:
            self._warn(one_line(problem))

    async def _listen(self) -> None:
        async with await closed_if_cancelled(self._connect()) as connection:
            OUTAGES.found(self._dependent)
            listener = await Listener.over(connection, DOORBELL)
            # This ring stands for what was committed before LISTEN, and proves that rings arrive.
            await connection.execute("SELECT pg_notify(%s, '')", [DOORBELL])
            heard = await listener.heard(HEARD_WITHIN)
            if heard:
                self._warned = False
            else:
                self._warn("LISTEN is accepted but nothing is heard: is there a pooler in between?")
            for payload in heard:
                self._hear(payload)
            async for payload in listener.payloads():
                self._hear(payload)

    def _hear(self, payload: str) -> None:
        self._rescan = self._rescan or RESCAN in payload
        if SCHEDULED in payload:
            self._schedule_rung.set()
        self.ring()

    def _warn(self, why: str) -> None:
        """Log this once for each loss of the connection."""
        if not self._warned:
            logger.warning("the relay hears no doorbell and polls instead: %s", why)
        self._warned = True


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True

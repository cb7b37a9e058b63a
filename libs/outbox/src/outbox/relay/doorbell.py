"""The relay's ear: woken by writers after commit, or by time.

Its connection may go: then the relay polls, says so once, and listens again when it can.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import psycopg

from outbox.losses import Server, lost, one_line
from outbox.outages import OUTAGES, Part
from outbox.postgres.listen import Listener
from outbox.postgres.notify import DOORBELL, SCHEDULED
from outbox.postgres.sessions import closed_if_cancelled
from outbox.supervise import outlive

log = logging.getLogger(__name__)

RESCAN = "rescan"
RECONNECT_AFTER = 1.0
HEARD_WITHIN = 5.0


class Doorbell:
    """Rings when something was committed, and when the whole log is to be looked at again."""

    def __init__(self, connect: Callable[[], Awaitable[psycopg.AsyncConnection[object]]]) -> None:
        self._connect = connect
        self._rung = asyncio.Event()
        self._nudged = asyncio.Event()
        self._rescan = False
        self._said = False
        self._part = Part("doorbell")

    async def wait(self, seconds: float) -> bool:
        """Wait for a ring; true if there was one."""
        return await _wait(self._rung, seconds)

    async def wait_for_nudge(self, seconds: float) -> bool:
        """Wait until something was scheduled; true if it was."""
        return await _wait(self._nudged, seconds)

    def ring(self) -> None:
        """There is something to publish."""
        self._rung.set()

    def nudge(self) -> None:
        """What happens besides publishing has changed."""
        self._nudged.set()

    def take_rescan(self) -> bool:
        """Whether somebody asked for a look at everything since the last call."""
        rescan, self._rescan = self._rescan, False
        return rescan

    async def run(self) -> None:
        """Listen until cancelled."""
        try:
            await outlive(self._listen, self._note, asyncio.Event(), lambda: RECONNECT_AFTER)
        finally:
            OUTAGES.ended(self._part)

    def _note(self, problem: Exception) -> None:
        if lost(problem) is Server.DATABASE:
            OUTAGES.lost(self._part, Server.DATABASE, one_line(problem))
        else:
            self._say(one_line(problem))

    async def _listen(self) -> None:
        async with await closed_if_cancelled(self._connect()) as connection:
            OUTAGES.found(self._part)
            listener = await Listener.over(connection, DOORBELL)
            # What was committed while nobody listened, and a proof that rings arrive at all.
            await connection.execute("SELECT pg_notify(%s, '')", [DOORBELL])
            heard = await listener.heard(HEARD_WITHIN)
            if heard:
                self._said = False
            else:
                self._say("LISTEN is accepted but nothing is heard: is there a pooler in between?")
            for payload in heard:
                self._ring(payload)
            async for payload in listener.payloads():
                self._ring(payload)

    def _ring(self, payload: str) -> None:
        self._rescan = self._rescan or RESCAN in payload
        if SCHEDULED in payload:
            self.nudge()
        self.ring()

    def _say(self, why: str) -> None:
        """Once per loss: rings make things fast, polling makes them certain."""
        if not self._said:
            log.warning("the relay hears no doorbell and polls instead: %s", why)
        self._said = True


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    event.clear()
    return True

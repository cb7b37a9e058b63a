"""Beside the consumer, on the database alone: retries parked events that are due, and cleans up.

It sleeps until the next event is due, until it hears of a change, or until a transaction of this
process has parked something. What it does not hear of it finds at its next poll.
"""

from __future__ import annotations

import asyncio
import math
import time

from outbox.delays import AdaptiveInterval
from outbox.inbox.inbox import Inbox
from outbox.inbox.parked_queries import ParkedQueries
from outbox.inbox.position import Connection
from outbox.inbox.settings import ConsumerSettings
from outbox.inbox.stream_claims import StreamClaims
from outbox.inbox.tables import INBOX_TABLES
from outbox.log.work import Work
from outbox.postgres.controls import READ_EVERY
from outbox.postgres.notify import INBOX_CHANGES
from outbox.postgres.sessions import connect
from outbox.supervise import Up, end, keep_running, pause

BUSY = 1.0
"""Seconds until streams are tried again that are due and that others have locked."""
AT_LEAST = 0.05
"""Seconds between two rounds: many transactions may park something at once."""
REPORT_SOON, REPORT_EVERY = 1.0, 10.0
"""Seconds between two reports, after something was parked and otherwise."""
HOUSEKEEPING_EVERY = 600.0
RESUME_EVERY = 60.0
"""A process of an older release may still run and park again what this one handles."""


class Retrier:
    """Retries each event when it is due, and at once after a redrive."""

    def __init__(self, inbox: Inbox, work: Work, settings: ConsumerSettings) -> None:
        self._inbox = inbox
        self._work = work
        self._settings = settings
        # A report counts everything that is parked.
        self._reporting = AdaptiveInterval(REPORT_SOON, time.monotonic)
        self._report_at = 0.0
        self._due: dict[str, float] = {}
        self._wake = inbox.something_parked
        self._changed = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Retry until told to stop, through any loss of the database."""
        name = f"retrier {self._inbox.consumer}"
        await keep_running(name, lambda up: self._run_session(up, stop), stop)

    async def _run_session(self, up: Up, stop: asyncio.Event) -> None:
        await self._work.check(INBOX_TABLES)
        await self._inbox.prober.obey()
        async with (
            await connect(self._work.engine) as connection,
            self._work.notifications.hearing(INBOX_CHANGES, self._hear),
        ):
            claims = StreamClaims(connection, self._inbox.consumer)
            obeying = asyncio.create_task(self._obey(connection))
            obeying.add_done_callback(lambda _: self._wake.set())
            try:
                # A handler is not cut off when this connection is lost: that would be a crash.
                while not stop.is_set() and not obeying.done():
                    self._wake.clear()
                    seconds = await self._do_what_is_due(claims)
                    up("retries parked events")
                    await self._pause(seconds, stop)
                if obeying.done():
                    obeying.result()
            finally:
                await end(obeying)

    def _hear(self, payload: str | None) -> None:
        if payload in (self._inbox.consumer, None):
            self._changed.set()
            self._wake.set()

    async def _do_what_is_due(self, claims: StreamClaims) -> float:
        """Returns the seconds until there is something to do."""
        if self._is_due("unhandled", RESUME_EVERY):
            await self._inbox.resume_unhandled()
        seconds = await self._retry_due(claims)
        await self._report()
        if self._is_due("housekeeping", HOUSEKEEPING_EVERY):
            await self._inbox.do_housekeeping(self._settings.unsequenced)
        reporting = max(self._report_at - time.monotonic(), self._reporting.left())
        return min(seconds, reporting, self._work.notifications.poll(self._settings.retry_every))

    async def _retry_due(self, claims: StreamClaims) -> float:
        """Returns the seconds until the next stream is due."""
        parked = ParkedQueries(claims.connection, claims.consumer)
        if self._inbox.valve.is_closed:
            return math.inf
        seconds = await parked.until_due()
        if seconds > 0:
            return seconds
        if await self._inbox.retry_due(claims):
            return 0.0
        return await parked.until_due() or BUSY

    async def _report(self) -> None:
        if self._report_at > time.monotonic() or not self._reporting.is_due():
            return
        with self._reporting.measured():
            are_gated = await self._inbox.report()
        much = self._settings.parked_bytes / 2
        soon = are_gated or self._inbox.parked_bytes > much
        self._report_at = time.monotonic() + (REPORT_SOON if soon else REPORT_EVERY)

    async def _pause(self, seconds: float, stop: asyncio.Event) -> None:
        if seconds > 0:
            await pause(stop, max(seconds, AT_LEAST), self._wake)
        if self._wake.is_set():
            self._report_at = 0.0
            await pause(stop, AT_LEAST)

    async def _obey(self, connection: Connection) -> None:
        """Read the controls when they may have changed, and when one ends, until cancelled."""
        while True:
            self._changed.clear()
            if await self._inbox.read_controls(connection):
                self._wake.set()
            seldom = self._work.notifications.poll(READ_EVERY)
            await pause(self._changed, min(seldom, self._inbox.valve.until_next()))

    def _is_due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        due = now >= self._due.get(what, 0.0)
        if due:
            self._due[what] = now + every
        return due

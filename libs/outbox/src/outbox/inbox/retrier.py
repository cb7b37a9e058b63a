"""Beside the consumer, on the database alone: retries parked events that are due, and cleans up."""

from __future__ import annotations

import asyncio
import time

from outbox.delays import AdaptiveInterval
from outbox.inbox.inbox import Inbox
from outbox.inbox.operations import REDRIVE
from outbox.inbox.position import Connection
from outbox.inbox.settings import ConsumerSettings
from outbox.inbox.stream_claims import StreamClaims
from outbox.inbox.tables import INBOX_TABLES
from outbox.log.work import Work
from outbox.postgres.controls import READ_EVERY
from outbox.postgres.notify import Listener
from outbox.postgres.sessions import connect
from outbox.supervise import Up, end, keep_running, pause

LISTEN_SLICE = 0.25
"""A stop waits at most this many seconds for the wait for a notification to end."""
REPORT_EVERY = 1.0
HOUSEKEEPING_EVERY = 600.0
RESUME_EVERY = 60.0
"""A process of an older release may still run and park again what this one handles."""


class Retrier:
    """Retries at regular intervals, and at once after a redrive."""

    def __init__(self, inbox: Inbox, work: Work, settings: ConsumerSettings) -> None:
        self._inbox = inbox
        self._work = work
        self._settings = settings
        # A report counts everything that is parked.
        self._reporting = AdaptiveInterval(REPORT_EVERY, time.monotonic)
        self._due: dict[str, float] = {}
        self._heard = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Retry until told to stop, through any loss of the database."""
        name = f"retrier {self._inbox.consumer}"
        await keep_running(name, lambda up: self._run_session(up, stop), stop)

    async def _run_session(self, up: Up, stop: asyncio.Event) -> None:
        await self._work.check(INBOX_TABLES)
        await self._inbox.prober.obey()
        async with await connect(self._work.engine) as connection:
            redrives = await Listener.over(connection, REDRIVE)
            claims = StreamClaims(connection, self._inbox.consumer)
            obeying = asyncio.create_task(self._obey(connection))
            try:
                # A handler is not cut off when this connection is lost: that would be a crash.
                while not stop.is_set() and not obeying.done():
                    if not await self._do_what_is_due(claims, up):
                        await self._pause(redrives, stop)
                if obeying.done():
                    obeying.result()
            finally:
                await end(obeying)

    async def _do_what_is_due(self, claims: StreamClaims, up: Up) -> bool:
        """Returns whether to go on at once."""
        if self._is_due("unhandled", RESUME_EVERY):
            await self._inbox.resume_unhandled()
        is_paused = self._inbox.valve.is_closed
        more = not is_paused and await self._inbox.retry_due(claims)
        up("retries parked events")
        if self._reporting.is_due():
            with self._reporting.measured():
                await self._inbox.report()
        if self._is_due("housekeeping", HOUSEKEEPING_EVERY):
            await self._inbox.do_housekeeping(self._settings.unsequenced)
        return more

    async def _pause(self, redrives: Listener, stop: asyncio.Event) -> None:
        until = time.monotonic() + self._settings.retry_every
        while not stop.is_set() and (left := until - time.monotonic()) > 0:
            if self._inbox.consumer in await redrives.heard(min(left, LISTEN_SLICE)):
                self._heard.set()
                return

    async def _obey(self, connection: Connection) -> None:
        """Read the controls now and then, and when something was heard, until cancelled."""
        while True:
            await self._inbox.read_controls(connection)
            await pause(self._heard, READ_EVERY)
            self._heard.clear()

    def _is_due(self, what: str, every: float) -> bool:
        now = time.monotonic()
        due = now >= self._due.get(what, 0.0)
        if due:
            self._due[what] = now + every
        return due

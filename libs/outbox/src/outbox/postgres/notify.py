"""NOTIFY after commit (the relay's doorbell, and keys that have settled), and LISTEN.

NOTIFY inside a business transaction takes a lock that serialises all commits. Here it goes out on a
connection of its own, once per few milliseconds however many transactions committed. A notification
that is lost costs time, never an event: every listener polls as well.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq.abc import PGconn

from outbox.addresses import Database, DatabaseAddress
from outbox.losses import Server, database_lost, one_line
from outbox.outages import OUTAGES, Dependent
from outbox.postgres.sessions import connect
from outbox.supervise import outlive, pause

logger = logging.getLogger(__name__)

DOORBELL = "outbox_doorbell"
SCHEDULED, RESCAN = "scheduled", "rescan"
INBOX_CHANGES = "inbox_changes"
"""Something of a consumer has changed; the payload is its name."""
INTERVAL = 0.002  # see decision 0002
RETRY_AFTER = 1.0
CLOSE_WITHIN = 2.0
# NOTIFY takes less than 8,000 bytes (PostgreSQL, NOTIFY, "payload").
MAX_PAYLOAD = 7_500

_NOTIFY = (
    "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) n(channel, payload)"
)


async def rescan(connection: psycopg.AsyncConnection[Any]) -> None:
    """Tell the relays to rescan from the first row, because an old event has to be published."""
    await connection.execute(_NOTIFY, [[DOORBELL], [RESCAN]])


class Listener:
    """Hears notifications. A missed one costs time only: every listener polls too.

    It waits for the socket itself: the driver's `notifies()` wakes up ten times a second.
    """

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Use a connection that nothing else uses."""
        self._connection = connection
        self._heard: deque[tuple[str, str]] = deque()
        connection.add_notify_handler(lambda one: self._heard.append((one.channel, one.payload)))

    @classmethod
    async def over(cls, connection: psycopg.AsyncConnection[Any], channel: str) -> Listener:
        """Listen on a connection that nothing else uses."""
        listener = cls(connection)
        await listener.listen(channel)
        return listener

    async def listen(self, channel: str) -> None:
        """Listen to one more channel; harmless if it is listened to already."""
        await self._connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))

    async def hears_itself(self, channel: str, seconds: float) -> bool:
        """Whether a notification on this channel arrives here, and within so many seconds."""
        await self._connection.execute("SELECT pg_notify(%s, '')", [channel])
        return bool(await self.heard(seconds))

    async def heard(self, seconds: float) -> list[str]:
        """Return the next payloads, at the latest after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wait()
        heard = [payload for _, payload in self._heard]
        self._heard.clear()
        return heard

    async def payloads(self) -> AsyncIterator[str]:
        """Give each payload as it comes, until the connection is lost."""
        async for _, payload in self.notifications():
            yield payload

    async def notifications(self) -> AsyncIterator[tuple[str, str]]:
        """Give each channel and payload as it comes, until the connection is lost."""
        while True:
            await self._wait()
            while self._heard:
                yield self._heard.popleft()

    async def _wait(self) -> None:
        """Wait for a notification. Raises `OperationalError` when the connection is lost."""
        driver = self._connection.pgconn
        self._read(driver)
        while not self._heard:
            await _readable(driver.socket)
            self._read(driver)

    def _read(self, driver: PGconn) -> None:
        driver.consume_input()
        while (one := driver.notifies()) is not None:
            self._heard.append((one.relname.decode(), one.extra.decode()))


async def _readable(descriptor: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


class Notifier:
    """Sends the notifications of committed transactions. One per process; `async with` runs it.

    It survives any error. Without it events leave at the relay's next poll, a second later.
    """

    def __init__(self, database: Database, *, interval: float = INTERVAL) -> None:
        """Raises `InvalidSetting` if this is not a database's address."""
        self._address = DatabaseAddress.of(database)
        self.heard_here: Callable[[str], bool] = lambda _channel: False
        """Whether this process alone has to hear a ring on a channel, and has heard it so."""
        self._dependent = Dependent("notifier")
        self._interval = interval
        self._pending: dict[str, set[str]] = defaultdict(set)
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Notifier:
        self._task = asyncio.create_task(self._run(), name="notifier")
        return self

    async def __aexit__(self, *_: object) -> None:
        """Send the rest, then close; do not wait long for a database that is away."""
        assert self._task
        self._closing.set()
        self._wake.set()
        await asyncio.wait({self._task}, timeout=CLOSE_WITHIN)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def ring(self, *what: str) -> None:
        """Tell the relays that there is something new. Call it after commit."""
        self.announce(DOORBELL, *what)

    def announce(self, channel: str, *keys: str) -> None:
        """Tell listeners of a channel that these keys have settled. Call it after commit."""
        self._pending[channel].update(keys)
        self._wake.set()

    async def _run(self) -> None:
        try:
            await outlive(self._session, self._note, self._closing, lambda: RETRY_AFTER)
        finally:
            OUTAGES.ended(self._dependent)

    async def _session(self) -> None:
        async with await connect(self._address) as connection:
            OUTAGES.found(self._dependent)
            try:
                await self._send(connection)
            except psycopg.OperationalError as problem:
                # The loss may be hours old: only a new connection tells whether the server is away.
                logger.debug("the notifier connects again: %s", one_line(problem))

    def _note(self, problem: Exception) -> None:
        if database_lost(problem):
            OUTAGES.lost(self._dependent, Server.DATABASE, one_line(problem))
        else:
            logger.error("the notifier failed and goes on", exc_info=problem)

    async def _send(self, connection: psycopg.AsyncConnection[object]) -> None:
        while self._pending or not self._closing.is_set():
            await self._wake.wait()
            self._wake.clear()
            await self._send_pending(connection)
            await pause(self._closing, self._interval)

    async def _send_pending(self, connection: psycopg.AsyncConnection[object]) -> None:
        pending, self._pending = self._pending, defaultdict(set)
        rows = [
            (channel, chunk)
            for channel, keys in pending.items()
            if keys or not self.heard_here(channel)  # see decision 1710
            for chunk in _chunks(keys)
        ]
        if not rows:
            return
        try:
            await connection.execute(_NOTIFY, [list(column) for column in zip(*rows, strict=True)])
        except psycopg.DataError as problem:
            # Kept, they would fail for ever; listeners poll as well.
            why = one_line(problem)
            logger.warning("notifications are dropped, PostgreSQL refuses them: %s", why)
        except psycopg.Error:
            self._keep(pending)
            raise

    def _keep(self, pending: dict[str, set[str]]) -> None:
        for channel, keys in pending.items():
            self.announce(channel, *keys)


def _chunks(keys: Iterable[str]) -> list[str]:
    """Keys as JSON lists, each short enough for one NOTIFY; one empty payload for no keys."""
    chunks: list[str] = []
    chunk: list[str] = []
    size = 0
    for key in keys:
        length = len(json.dumps(key)) + 2
        if chunk and size + length > MAX_PAYLOAD:
            chunks.append(json.dumps(chunk))
            chunk, size = [], 0
        chunk.append(key)
        size += length
    return [*chunks, json.dumps(chunk) if chunk else ""]

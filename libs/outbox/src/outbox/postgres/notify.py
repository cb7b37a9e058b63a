"""NOTIFY after commit: the relay's doorbell, and keys that have settled.

NOTIFY inside a business transaction takes a lock that serialises all commits, until they are on the
disk. Here it goes out on a connection of its own, once per few milliseconds however many
transactions committed; or, where one commits alone, behind its COMMIT (decision 1715). A
notification that is lost costs time, never an event: every listener polls as well.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg

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
ALONE_AFTER = 0.005
"""Seconds without another notification after which one goes along with its commit."""
RETRY_AFTER = 1.0
CLOSE_WITHIN = 2.0
# NOTIFY takes less than 8,000 bytes (PostgreSQL, NOTIFY, "payload").
MAX_PAYLOAD = 7_500

_NOTIFY = (
    "SELECT pg_notify(channel, payload)"
    " FROM unnest(%(channels)s::text[], %(payloads)s::text[]) n(channel, payload)"
)

Pending = dict[str, set[str]]
"""Keys by channel; none for a ring."""


async def rescan(connection: psycopg.AsyncConnection[Any]) -> None:
    """Tell the relays to rescan from the first row, because an old event has to be published."""
    await connection.execute(*_notifying([(DOORBELL, RESCAN)]))


@dataclass(slots=True)
class Along:
    """Notifications that are sent by the transaction's connection, right behind its COMMIT."""

    channels: Collection[str]
    statement: str
    parameters: dict[str, Any]
    sent: bool = False


class Notifier:
    """Sends the notifications of committed transactions. One per process; `async with` runs it.

    It survives any error. Without it events leave at the relay's next poll, a second later.
    """

    def __init__(self, database: Database, *, interval: float = INTERVAL) -> None:
        """Raises `InvalidSetting` if this is not a database's address."""
        self._address = DatabaseAddress.of(database)
        self.heard_here: Callable[[str], bool] = lambda _channel: False
        """Whether this process alone has to hear a ring on a channel, and has heard it so."""
        self.may_be_heard_here: Callable[[str], bool] = lambda _channel: False
        """Whether a part of this process hears rings on a channel."""
        self._dependent = Dependent("notifier")
        self._interval = interval
        self._pending: Pending = defaultdict(set)
        self._busy_until = 0.0
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

    def going_along(self, pending: Pending) -> Along | None:
        """These, for right behind the COMMIT, if nothing else was to be sent lately.

        It spares a round trip on a connection that slept.
        """
        if self._pending or time.monotonic() < self._busy_until:
            return None
        along = [one for one in pending if pending[one] or not self.may_be_heard_here(one)]
        if not along:
            return None
        self._be_busy()
        return Along(along, *_notifying(_rows(pending, along)))

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
        self._be_busy()
        pending, self._pending = self._pending, defaultdict(set)
        # See decision 1710.
        wanted = [one for one in pending if pending[one] or not self.heard_here(one)]
        if not wanted:
            return
        try:
            await connection.execute(*_notifying(_rows(pending, wanted)))
        except psycopg.DataError as problem:
            # Kept, they would fail for ever; listeners poll as well.
            why = one_line(problem)
            logger.warning("notifications are dropped, PostgreSQL refuses them: %s", why)
        except psycopg.Error:
            self._keep(pending)
            raise

    def _be_busy(self) -> None:
        self._busy_until = time.monotonic() + ALONE_AFTER

    def _keep(self, pending: Pending) -> None:
        for channel, keys in pending.items():
            self.announce(channel, *keys)


def _rows(pending: Pending, channels: Iterable[str]) -> list[tuple[str, str]]:
    return [(channel, chunk) for channel in channels for chunk in _chunks(pending[channel])]


def _notifying(rows: Sequence[tuple[str, str]]) -> tuple[str, dict[str, Any]]:
    channels, payloads = (list(column) for column in zip(*rows, strict=True))
    return _NOTIFY, {"channels": channels, "payloads": payloads}


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

"""Notifications after commit: the relay's doorbell, and ids that somebody waits for.

NOTIFY inside a business transaction takes a lock that serialises all commits; here it goes out
on a connection of its own, once per few milliseconds however many transactions committed. A
notification that is lost costs time, never an event: who listens polls as well.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

import psycopg

log = logging.getLogger(__name__)

DOORBELL = "outbox_doorbell"
INTERVAL = 0.002
RETRY_AFTER = 1.0
# NOTIFY takes less than 8,000 bytes (PostgreSQL, NOTIFY, "payload").
MAX_PAYLOAD = 7_500

_NOTIFY = (
    "SELECT pg_notify(channel, payload) FROM unnest(%s::text[], %s::text[]) n(channel, payload)"
)


class Notifier:
    """Sends what committed transactions have to say. One per process; `async with` runs it."""

    def __init__(self, conninfo: str, *, interval: float = INTERVAL) -> None:
        self._conninfo = conninfo
        self._interval = interval
        self._pending: dict[str, set[str]] = defaultdict(set)
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Notifier:
        self._task = asyncio.create_task(self._run(), name="notifier")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def ring(self) -> None:
        """Tell the relays that there is something new. Call it after commit."""
        self.announce(DOORBELL)

    def announce(self, channel: str, *keys: str) -> None:
        """Tell listeners of a channel that these keys have settled. Call it after commit."""
        self._pending[channel].update(keys)
        self._wake.set()

    async def _run(self) -> None:
        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True, connect_timeout=5
                ) as connection:
                    await self._send_for_ever(connection)
            except psycopg.OperationalError as problem:
                log.warning("notifications wait for the database: %s", _line(problem))
                await asyncio.sleep(RETRY_AFTER)

    async def _send_for_ever(self, connection: psycopg.AsyncConnection[object]) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            pending, self._pending = self._pending, defaultdict(set)
            rows = [(channel, chunk) for channel in pending for chunk in _chunks(pending[channel])]
            try:
                await connection.execute(
                    _NOTIFY, [list(column) for column in zip(*rows, strict=True)]
                )
            except psycopg.OperationalError:
                self._keep(pending)
                raise
            await asyncio.sleep(self._interval)

    def _keep(self, pending: dict[str, set[str]]) -> None:
        for channel, keys in pending.items():
            self.announce(channel, *keys)


def _chunks(keys: Iterable[str]) -> list[str]:
    """Keys as JSON lists, each short enough for one NOTIFY; one empty payload for no keys."""
    chunks: list[str] = []
    chunk: list[str] = []
    size = 0
    for key in keys:
        if size + len(key) + 4 > MAX_PAYLOAD:
            chunks.append(json.dumps(chunk))
            chunk, size = [], 0
        chunk.append(key)
        size += len(key) + 4
    return [*chunks, json.dumps(chunk) if chunk else ""]


def _line(problem: BaseException) -> str:
    return str(problem).strip().partition("\n")[0]

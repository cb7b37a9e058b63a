"""LISTEN: what PostgreSQL tells one connection. A missed notification costs time only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql
from psycopg.pq.abc import PGconn


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

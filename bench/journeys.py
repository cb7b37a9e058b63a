"""Journeys through both services: from a request until what it asked for is settled.

The end of a journey is the notification on which the API answers `?wait=`. It costs the measured
system nothing that it does not do anyway, and the load generator one message for many orders.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg

from bench.http_connections import ConnectionPool, HttpConnection, Refused

CHANNEL = "orders_settled"
SETTLED_WITHIN = 180.0
_ID = re.compile(rb'"id": ?"?([0-9a-f-]+)')


@dataclass
class Times:
    """When each journey began, was answered and was settled. In seconds, by its key."""

    began: dict[str, float] = field(default_factory=dict)
    answered: dict[str, float] = field(default_factory=dict)
    settled: dict[str, float] = field(default_factory=dict)
    refused: int = 0
    """How many were answered 503. They have no journey."""

    @property
    def unfinished(self) -> int:
        """How many are answered and not settled."""
        return len(self.answered.keys() - self.settled.keys())

    def to_answer(self) -> list[float]:
        """Milliseconds from each request to its answer."""
        return [(at - self.began[key]) * 1000 for key, at in self.answered.items()]

    def to_end(self) -> list[float]:
        """Milliseconds from each request until it was settled."""
        return [(self.settled[key] - at) * 1000 for key, at in self.began.items()]


class Journeys:
    """Sends requests and notes the times of their journeys. `request(n)` is the n-th request."""

    def __init__(self, url: str, request: Callable[[int], bytes], *, prefix: str = "") -> None:
        """`prefix` is what stands before the id in an announced key."""
        self.pool = ConnectionPool(url)
        self.times = Times()
        self._request = request
        self._prefix = prefix
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def begin(self) -> Times:
        """Forget the journeys so far; all of them have to be settled."""
        self.times = Times()
        return self.times

    async def closed_loop(self, clients: int, seconds: float, *, to_end: bool) -> None:
        """Clients of which each sends its next request when the last is answered, or settled."""
        until = time.perf_counter() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(self._client(until, to_end=to_end))

    async def open_loop(self, rate: float, seconds: float) -> None:
        """Requests at fixed times, whatever the answers do. A late request began at its time."""
        begin = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                due = begin + number / rate
                if (early := due - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                group.create_task(self._send_at(due))

    async def all_settled(self) -> None:
        """Raises `TimeoutError` if one never is."""
        async with asyncio.timeout(SETTLED_WITHIN):
            while self.times.unfinished:  # noqa: ASYNC110 told by a notification
                await asyncio.sleep(0.02)

    def note_settled(self, keys: list[str]) -> None:
        now = time.perf_counter()
        for key in keys:
            self.times.settled.setdefault(key, now)
            if waiter := self._waiting.pop(key, None):
                waiter.set_result(None)

    async def _client(self, until: float, *, to_end: bool) -> None:
        async with self.pool.connection() as connection:
            while (now := time.perf_counter()) < until:
                key = await self._send(connection, now)
                if to_end and key is not None and key not in self.times.settled:
                    self._waiting[key] = asyncio.get_running_loop().create_future()
                    await self._waiting[key]

    async def _send_at(self, due: float) -> None:
        async with self.pool.connection() as connection:
            await self._send(connection, due)

    async def _send(self, connection: HttpConnection, began: float) -> str | None:
        try:
            body = await connection.ask(self._request(next(self._numbers)))
        except Refused:
            self.times.refused += 1
            return None
        found = _ID.search(body)
        assert found, body
        key = self._prefix + found[1].decode()
        self.times.began[key], self.times.answered[key] = began, time.perf_counter()
        return key


@asynccontextmanager
async def watched(journeys: Journeys, database_url: str) -> AsyncIterator[Journeys]:
    """Note what the services announce as settled, for the length of the block."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute(f"LISTEN {CHANNEL}".encode())
        hearing = asyncio.create_task(_hear(connection, journeys))
        try:
            yield journeys
        finally:
            hearing.cancel()
            await asyncio.gather(hearing, return_exceptions=True)
            journeys.pool.close()


async def _hear(connection: psycopg.AsyncConnection[object], journeys: Journeys) -> None:
    async for heard in connection.notifies():
        journeys.note_settled(json.loads(heard.payload or "[]"))

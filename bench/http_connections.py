"""HTTP connections that cost the load generator a few microseconds per request.

Requests are ready-made bytes; of an answer only the status and the length are read.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast
from urllib.parse import urlsplit

MOST = 256
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")


class Refused(RuntimeError):
    """The API answered 503: it has too much to do."""


class HttpConnection(asyncio.Protocol):
    """One connection that stays open, with one request at a time."""

    def __init__(self) -> None:
        self._arrived = b""
        self._answer: asyncio.Future[bytes] | None = None
        self.is_closed = False
        self._transport: asyncio.Transport | None = None

    async def ask(self, request: bytes) -> bytes:
        """The body of the answer. Raises `Refused`, or `RuntimeError` for another error."""
        assert self._transport
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is of another class

    def data_received(self, data: bytes) -> None:
        self._arrived += data
        head, complete, body = self._arrived.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not complete or length is None or len(body) < int(length[1]):
            return
        self._arrived = b""
        assert self._answer
        if head.startswith(b"HTTP/1.1 2"):
            self._answer.set_result(body)
        else:
            kind = Refused if head.startswith(b"HTTP/1.1 503") else RuntimeError
            self._answer.set_exception(kind(f"answered {head!r} {body!r}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_closed = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the API closed a connection: {exc}"))


class ConnectionPool:
    """Idle connections to one API; at most `MOST`, as many as were ever busy at once."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._free = asyncio.Semaphore(MOST)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._idle: list[HttpConnection] = []
        self._all: list[HttpConnection] = []

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[HttpConnection]:
        """An idle connection, or a new one. Waits while all are busy."""
        async with self._free:
            one = self._idle.pop() if self._idle else await self._open()
            try:
                yield one
            finally:
                self._idle.append(one)
                # The API closes what has been idle for long: the ones that went in first.
                self._idle = [one for one in self._idle if not one.is_closed]

    def close(self) -> None:
        for one in self._all:
            one.close()

    async def _open(self) -> HttpConnection:
        loop = asyncio.get_running_loop()
        _, one = await loop.create_connection(HttpConnection, self._host, self._port)
        self._all.append(one)
        return one

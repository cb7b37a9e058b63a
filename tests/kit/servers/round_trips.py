"""How often a client waits for its server: a TCP proxy that counts turns of the conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class RoundTrips:
    """`count` is how often the server has answered after something was sent, on any connection."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._asked = False
        self._copying: set[asyncio.Task[None]] = set()
        self.count = 0

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Give the port to connect to."""
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            for task in self._copying:
                task.cancel()
            await asyncio.gather(*self._copying, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        for copying in (self._copy(reader, back, True), self._copy(there, writer, False)):
            self._copying.add(asyncio.create_task(copying))

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asks: bool
    ) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    self.count += self._asked and not asks
                    self._asked = asks
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.transport.abort()

"""A server that answers slowly: a TCP proxy that holds certain answers back for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Delays:
    """Of each connection, what comes back waits for `by` seconds at the bytes `of`."""

    def __init__(self, host: str, port: int, *, of: bytes, by: float) -> None:
        self._target = (host, port)
        self._of = of
        self._by = by
        self._copying: set[asyncio.Task[None]] = set()

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
        for copying in (self._copy(reader, back, b""), self._copy(there, writer, self._of)):
            self._copying.add(asyncio.create_task(copying))

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slow: bytes
    ) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    if slow and slow in data:
                        at = data.index(slow)
                        writer.write(data[:at])
                        await asyncio.sleep(self._by)
                        data = data[at:]
                    writer.write(data)
                    await writer.drain()
        finally:
            writer.transport.abort()

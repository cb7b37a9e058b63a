"""An HTTP server that handlers ask, and that may be away: then it hangs up on every call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_ASKED = b"\r\n\r\n"


@dataclass
class Dependency:
    """Counts the calls that it answered, and those that it hung up on."""

    url: str = ""
    away: bool = False
    answered: int = 0
    refused: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(_ASKED):
                if self.away:
                    self.refused += 1
                    break
                self.answered += 1
                writer.write(_OK)
        writer.close()


@asynccontextmanager
async def dependency() -> AsyncIterator[Dependency]:
    """Serve for the length of the block."""
    asked = Dependency()
    async with await asyncio.start_server(asked.serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        asked.url = f"http://{host}:{port}/"
        yield asked

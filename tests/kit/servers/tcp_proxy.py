"""A TCP proxy between a client and a server, in which a test sees or holds back what passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit


class Pass(Protocol):
    """Passes data on to one side."""

    async def __call__(
        self, data: bytes, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None: ...


@asynccontextmanager
async def tcp_proxy(host: str, port: int, pass_on: Pass) -> AsyncIterator[int]:
    """Give the port to connect to. `pass_on` writes what has come from the other side."""
    copying: set[asyncio.Task[None]] = set()

    async def copy(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        try:
            with suppress(OSError):
                while data := await reader.read(65536):
                    await pass_on(data, writer, is_answer=is_answer)
                    await writer.drain()
        finally:
            writer.transport.abort()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, port)
        copying.add(asyncio.create_task(copy(reader, back, is_answer=False)))
        copying.add(asyncio.create_task(copy(there, writer, is_answer=True)))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in copying:
            task.cancel()
        await asyncio.gather(*copying, return_exceptions=True)


def losing_commits(while_: asyncio.Event) -> Pass:
    """PostgreSQL's answers to COMMIT, and their connections, are lost while this is set."""

    async def pass_on(data: bytes, writer: asyncio.StreamWriter, *, is_answer: bool) -> None:
        if is_answer and while_.is_set() and b"COMMIT" in data:
            writer.transport.abort()
        else:
            writer.write(data)

    return pass_on


def server_of(url: str) -> tuple[str, int]:
    """The host and port of the PostgreSQL in a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 5432


def through(url: str, port: int) -> str:
    """The URL by way of a proxy on this port."""
    parts = urlsplit(url)
    login = parts.netloc.rpartition("@")[0]
    return urlunsplit(parts._replace(netloc=f"{login}@127.0.0.1:{port}"))

"""A load generator that costs few microseconds per request: raw sockets that stay open."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from urllib.parse import urlsplit


async def requests_per_second(
    url: str, request: bytes | Callable[[], bytes], *, connections: int, seconds: float
) -> tuple[float, float]:
    """Requests per second and their mean latency in milliseconds. Every answer must be 2xx.

    `request` is the bytes of each, or makes them.
    """
    make = request if callable(request) else lambda: request
    parts = urlsplit(url)
    until = time.perf_counter() + seconds
    began = time.perf_counter()
    counts = await asyncio.gather(
        *(_client(parts.hostname or "", parts.port or 80, make, until) for _ in range(connections))
    )
    took = time.perf_counter() - began
    answered = sum(counts)
    return answered / took, took * connections / answered * 1000


async def _client(host: str, port: int, make: Callable[[], bytes], until: float) -> int:
    reader, writer = await asyncio.open_connection(host, port)
    count = 0
    while time.perf_counter() < until:
        writer.write(make())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 2"), head
        length = next(
            int(line.partition(b":")[2])
            for line in head.split(b"\r\n")
            if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        count += 1
    writer.close()
    return count


def post(path: str, body: bytes, headers: str = "") -> bytes:
    """A POST of JSON on a connection that stays open."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def get(path: str) -> bytes:
    """A GET on a connection that stays open."""
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

"""Readers of one hot resource beside one who changes it: rates, latencies, and what is missed."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from bench.load import get

WRITE_EVERY = 0.05


@dataclass
class Readings:
    """When each answer came, and how long it took; and for how long a writer missed what it wrote.

    In seconds. The last is counted to the last request that did not show it.
    """

    taken: list[tuple[float, float]] = field(default_factory=list)
    missed: list[float] = field(default_factory=list)

    def between(self, begin: float, end: float) -> Latencies:
        """What was asked in this part of the run."""
        latencies = [took for at, took in self.taken if begin <= at - took < end]
        return Latencies(len(latencies) / (end - begin), sorted(latencies))


@dataclass(frozen=True)
class Latencies:
    """Requests per second, and what they took."""

    rate: float
    seconds: Sequence[float]

    @property
    def p99(self) -> float:
        """In milliseconds."""
        return self.seconds[int(len(self.seconds) * 0.99)] * 1000

    @property
    def longest(self) -> float:
        """In milliseconds."""
        return self.seconds[-1] * 1000

    @property
    def median(self) -> float:
        """In milliseconds."""
        return statistics.median(self.seconds) * 1000


async def read_and_write(url: str, path: str, *, readers: int, seconds: float) -> Readings:
    """All answers have to be 200; anything else, or a lost connection, raises."""
    readings, until = Readings(), time.perf_counter() + seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(readers):
            group.create_task(_read(url, path, readings, until))
        group.create_task(_write(url, path, readings, until))
    return readings


async def _read(url: str, path: str, readings: Readings, until: float) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    request = get(path)
    while (began := time.perf_counter()) < until:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"a reader was answered {head!r}")
        _, _, rest = head.lower().partition(b"content-length:")
        await reader.readexactly(int(rest.partition(b"\r\n")[0]))
        now = time.perf_counter()
        readings.taken.append((now, now - began))
    writer.close()


async def _write(url: str, path: str, readings: Readings, until: float) -> None:
    """Move the ticket to and fro, and read it until the change shows."""
    statuses = ["answered", "awaiting_reply"]
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        while time.perf_counter() < until:
            moved = await http.patch(path, json={"status": statuses[0]})
            if moved.status_code != 409:  # it begins where the turn before has left it
                changed, version = time.perf_counter(), _version(moved.raise_for_status())
                readings.missed.append(await _last_miss(http, path, version) - changed)
            statuses.reverse()
            await asyncio.sleep(WRITE_EVERY)


async def _last_miss(http: httpx.AsyncClient, path: str, version: int) -> float:
    """When it was last asked for in vain: a slow answer is not an old one."""
    missed, asked = time.perf_counter(), time.perf_counter()
    while _version(await http.get(path)) < version:
        missed, asked = asked, time.perf_counter()
    return missed


def _version(answer: httpx.Response) -> int:
    return int(answer.raise_for_status().headers["ETag"].strip('"'))

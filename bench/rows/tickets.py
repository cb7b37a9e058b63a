"""Reads of one hot ticket beside a writer: with Redis, without, and with Redis stopped in mid-run.

The ticket has twenty comments. Both APIs are one process each on the same database; turns are
taken in turn. Redis is stopped with SIGSTOP: it keeps its connections and answers nothing.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from bench.figures import Bench, Better, Figure, Judged, compare
from bench.reads import Latencies, Readings, read_and_write
from devstack.native.system import CHECKOUT, Layout, System

SECONDS, READERS, COMMENTS = 5.0, 16, 20
TICKET = {"subject": "No sound", "text": "The left speaker is silent. " * 10, "email": "ann@b.org"}
BOUND = 1000
"""Milliseconds within which a writer sees its own change."""


async def run(bench: Bench) -> list[Figure]:
    """A system with services of its own, beside which the bench's own stack stands idle."""
    cached: list[Latencies] = []
    plain: list[Latencies] = []
    stopped: list[Latencies] = []
    missed: list[float] = []
    with System(Layout(CHECKOUT, bench.stack.home / "system")) as system:
        for worker in ("orders-worker", "processor-worker", "processor-api"):
            system.stop_process(worker)
        if not system.pid_of("redis"):
            raise RuntimeError("this row needs a redis-server on the machine")
        path = await _ticket(system.urls["orders"])
        async with _without_redis(system) as url:
            for turn in bench.turns:
                one, began = await _read(url, path)
                plain.append(one.between(began, began + SECONDS))
                two, began = await _read(system.urls["orders"], path)
                cached.append(two.between(began, began + SECONDS))
                three, stop = await _read_through_a_stop(system, path)
                stopped.append(three.between(stop, stop + SECONDS / 2))
                missed.append(max(one.missed + two.missed + three.missed) * 1000)
                bench.note(
                    f"turn {turn + 1}: without {_said(plain[-1])}, with {_said(cached[-1])}, "
                    f"stopped {_said(stopped[-1])}; "
                    f"own change missing for {missed[-1]:.0f} ms at most"
                )
    return _figures(plain, cached, stopped, missed)


async def _read(url: str, path: str) -> tuple[Readings, float]:
    began = time.perf_counter()
    return await read_and_write(url, path, readers=READERS, seconds=SECONDS), began


async def _read_through_a_stop(system: System, path: str) -> tuple[Readings, float]:
    """Redis is stopped for the second half."""
    redis = system.pid_of("redis")
    reading = asyncio.create_task(_read(system.urls["orders"], path))
    try:
        await asyncio.sleep(SECONDS / 2)
        os.kill(redis, signal.SIGSTOP)
        stop = time.perf_counter()
        readings, _ = await reading
    finally:
        os.kill(redis, signal.SIGCONT)
    return readings, stop


async def _ticket(url: str) -> str:
    async with httpx.AsyncClient(base_url=f"{url}/api/v1", timeout=30) as http:
        opened = (await http.post("/tickets", json=TICKET)).raise_for_status().json()
        path = f"/tickets/{opened['id']}"
        for number in range(COMMENTS):
            comment = {"email": "bob@b.org", "text": f"{number}: is it plugged in? " * 5}
            (await http.post(f"{path}/comments", json=comment)).raise_for_status()
    return f"/api/v1{path}"


@asynccontextmanager
async def _without_redis(system: System) -> AsyncIterator[str]:
    """A second API on the same database."""
    port = _free_port()
    environment = system.environment["orders"] | {"ORDERS_PORT": str(port)}
    environment.pop("REDIS_URL", None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "service_orders", "api"),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(30), httpx.AsyncClient() as http:
            while not await _answers(http, url):  # noqa: ASYNC110 the condition is over there
                await asyncio.sleep(0.1)
        yield url
    finally:
        process.terminate()
        await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/health/live")).is_success
    except httpx.TransportError:
        return False


def _said(one: Latencies) -> str:
    return f"{one.rate:,.0f}/s (p99 {one.p99:.1f}, longest {one.longest:.0f} ms)"


def _figures(
    plain: list[Latencies], cached: list[Latencies], stopped: list[Latencies], missed: list[float]
) -> list[Figure]:
    ours, theirs = [max(one.longest for one in each) for each in (stopped, plain)]
    longest = f"the longest of all took {ours:.0f} ms, without Redis {theirs:.0f} ms"
    return [
        _rates("GET a hot ticket, Redis", cached, plain),
        _p99("the same, p99", cached, plain),
        _rates("GET a hot ticket, Redis stopped", stopped, plain),
        _p99("the same, p99", stopped, plain, longest),
        Figure(
            "own change missing, longest",
            max(missed),
            "ms",
            least=BOUND,
            judged=Judged.MEASURED,
            better=Better.LOWER,
            turns={"missed": missed},
        ),
    ]


def _rates(name: str, ours: list[Latencies], theirs: list[Latencies]) -> Figure:
    one, other = [each.rate for each in ours], [each.rate for each in theirs]
    return Figure(
        name,
        statistics.median(one),
        "/s",
        "no REDIS_URL",
        statistics.median(other),
        compare(one, other),
        turns={name: one, "no REDIS_URL": other},
    )


def _p99(name: str, ours: list[Latencies], theirs: list[Latencies], remark: str = "") -> Figure:
    one, other = [each.p99 for each in ours], [each.p99 for each in theirs]
    return Figure(
        name,
        statistics.median(one),
        "ms",
        "no REDIS_URL",
        statistics.median(other),
        compare(one, other),
        better=Better.LOWER,
        remark=remark,
        turns={name: one, "no REDIS_URL": other},
    )

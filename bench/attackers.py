"""A healthy caller beside four who send the dearest bodies: `python -m bench.attackers URL`.

URL is a running API of service-orders (http://127.0.0.1:8000). The healthy caller places an order
every 20 ms on one connection; the attackers are a process of their own and send as fast as they are
answered. Both are measured in turn, in the same run.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from asyncio.subprocess import PIPE
from urllib.parse import urlsplit

from bench.bodies import BODIES
from bench.load import post
from bench.open_loop_load import percentile

ATTACKERS, TURNS, SECONDS, PACE = 4, 3, 10.0, 0.02
ORDER = post(
    "/api/v1/orders", b'{"user_id":"u","products":[{"product_id":"p","quantity":1}],"amount":"1"}'
)


async def main(url: str) -> None:
    quiet: list[float] = []
    attacked: list[float] = []
    for turn in range(TURNS):
        quiet.append(await _healthy(url))
        attackers = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.attackers", url, "attack"), stdin=PIPE, stdout=PIPE
        )
        assert attackers.stdout
        await attackers.stdout.readline()  # all are at it
        attacked.append(await _healthy(url))
        sent, _ = await attackers.communicate(b"")
        print(
            f"turn {turn + 1}: p99 {quiet[-1]:.1f} ms, beside {ATTACKERS} attackers"
            f" {attacked[-1]:.1f} ms ({int(sent)} bodies were refused)"
        )
    ratio = statistics.median(one / other for one, other in zip(attacked, quiet, strict=True))
    print(f"p99 beside {ATTACKERS} attackers: {ratio:.1f} × without them (at most 5)")


async def _healthy(url: str) -> float:
    """The p99 of so many orders, in milliseconds."""
    reader, writer = await _connected(url)
    took: list[float] = []
    until = time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < until:
        assert (await _answer(reader, writer, ORDER)).startswith(b"HTTP/1.1 201")
        took.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(max(0.0, began + PACE - time.perf_counter()))
    writer.close()
    return percentile(took, 99)


async def _attack(url: str) -> None:
    """Until the end of stdin."""
    over = asyncio.Event()
    bodies = [post("/api/v1/orders", body) for body in BODIES.values()]
    attackers = [
        asyncio.create_task(_one(url, bodies[n:] + bodies[:n], over)) for n in range(0, 32, 8)
    ]
    print(flush=True)
    await asyncio.to_thread(sys.stdin.read)
    over.set()
    print(sum(await asyncio.gather(*attackers)))


async def _one(url: str, bodies: list[bytes], over: asyncio.Event) -> int:
    reader, writer = await _connected(url)
    for count, body in enumerate(itertools.cycle(bodies)):
        if over.is_set():
            return count
        assert (await _answer(reader, writer, body)).startswith(b"HTTP/1.1 4")
    raise AssertionError


async def _connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(url)
    return await asyncio.open_connection(parts.hostname, parts.port)


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> bytes:
    writer.write(request)
    await writer.drain()
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(length))
    return head


if __name__ == "__main__":
    asyncio.run(_attack(sys.argv[1]) if sys.argv[2:] else main(sys.argv[1]))

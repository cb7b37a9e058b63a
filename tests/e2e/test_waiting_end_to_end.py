"""Many clients wait at once, each for its own order, on one connection to the database.

`CHAOS_WAITERS` sets how many; a short share of it runs with all other tests.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from time import time

import httpx
import psycopg
import pytest

from devstack.native.system import CHECKOUT, Layout, System
from kit.services.order_client import ORDER, TERMINAL

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

WAITERS = int(os.environ.get("CHAOS_WAITERS", "300"))
SPREAD = {"PROCESSING_DELAY_MIN": "5", "PROCESSING_DELAY_MAX": "13"}


@pytest.fixture(scope="module")
def slow_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder: Path = tmp_path_factory.mktemp("waiting")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65_536), hard))
    with System(Layout(CHECKOUT, folder / "system"), env=SPREAD) as system:
        yield system


async def waited(host: str, port: int, path: str) -> tuple[float, str, float]:
    """When the answer came, the status in it, and when the order says it ended."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    answer = await reader.read()
    came = time()
    writer.close()
    body = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert "updated_at" in body, body
    return came, body["status"], datetime.fromisoformat(body["updated_at"]).timestamp()


async def test_every_waiter_is_answered_when_its_order_ends(slow_system: System) -> None:
    url = httpx.URL(slow_system.urls["orders"])
    slow_system.stop_process("processor-worker")
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def place_order() -> str:
            return str((await client.post("/api/v1/orders", json=ORDER)).json()["id"])

        placed: list[str] = []
        while len(placed) < WAITERS:
            placed += await asyncio.gather(*(place_order() for _ in range(min(100, WAITERS))))
    paths = [f"/api/v1/orders/{order_id}/status?wait=30" for order_id in placed]
    waiting = [asyncio.create_task(waited(url.host, url.port or 80, path)) for path in paths]
    await asyncio.to_thread(slow_system.start_process, "processor-worker")
    connections = connections_of_the_api(slow_system)
    answers = await asyncio.gather(*waiting)
    ends = Counter(status for _, status, _ in answers)
    delays = sorted(came - ended for came, _, ended in answers)
    print(
        f"\n{len(answers)} waiters, from an order's end to its answer:"
        f" p50 {delays[len(delays) // 2] * 1000:.0f} ms,"
        f" p99 {delays[int(len(delays) * 0.99)] * 1000:.0f} ms,"
        f" longest {delays[-1] * 1000:.0f} ms; {connections} connections of the API"
    )
    assert set(ends) <= TERMINAL, ends
    assert connections["waiters"] == 1


def connections_of_the_api(system: System) -> dict[str, int]:
    with psycopg.connect(system.environment["orders"]["DATABASE_URL_ORDERS"]) as database:
        return dict(
            database.execute(
                "SELECT application_name, count(*)::int FROM pg_stat_activity"
                " WHERE datname = current_database() AND application_name IN"
                " ('waiters', 'service-orders api') GROUP BY 1"
            ).fetchall()
        )

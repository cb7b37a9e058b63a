"""Reads of one hot ticket beside a writer, while Redis hangs, dies and is full of garbage.

CHAOS_CACHE_SECONDS sets how long each takes.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

import psycopg
import pytest
import redis

from bench.reads import read_and_write
from devstack.native.system import System
from kit.services.order_client import Shop
from kit.services.ticket_client import TicketClient

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SECONDS = float(os.environ.get("CHAOS_CACHE_SECONDS", "3"))
BOUND = 1.0


def freeze(system: System) -> None:
    os.kill(system.pid_of("redis"), signal.SIGSTOP)


def thaw(system: System) -> None:
    os.kill(system.pid_of("redis"), signal.SIGCONT)


def kill(system: System) -> None:
    system.kill("redis")


def spoil(system: System) -> None:
    """Every entry keeps its version and its trust, and has another body."""
    variables = system.environment["orders"]
    with psycopg.connect(variables["DATABASE_URL_ORDERS"]) as database:
        ids = database.execute("SELECT id FROM tickets").fetchall()
    with redis.Redis.from_url(variables["REDIS_URL"]) as cache:
        for (ticket_id,) in ids:
            cache.hset(f"ticket-1:{ticket_id}", "body", b"garbage")


def nothing(system: System) -> None:
    pass


@pytest.mark.parametrize(
    ("disturb", "end"),
    [(nothing, nothing), (freeze, thaw), (kill, nothing), (spoil, spoil)],
    ids=["undisturbed", "frozen", "killed", "spoilt"],
)
async def test_no_read_fails_and_a_writer_sees_its_own_change_in_time(
    shop: Shop, disturb: Callable[[System], None], end: Callable[[System], None]
) -> None:
    system, client = shop.system, TicketClient(shop.system)
    if not system.pid_of("redis"):
        pytest.skip("no redis-server on this machine")
    path = f"/api/v1/tickets/{client.open()}"
    running = asyncio.create_task(
        read_and_write(system.urls["orders"], path, readers=8, seconds=SECONDS)
    )
    try:
        for change in (disturb, end):
            await asyncio.sleep(SECONDS / 3)
            change(system)
    finally:
        if disturb is freeze:
            thaw(system)
        readings = await running
    print(f"\n{len(readings.taken)} reads, own change missing for {max(readings.missed):.3f} s")
    assert max(readings.missed) < BOUND

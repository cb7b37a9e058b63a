"""Rentals through both services and the stand-ins, as real processes, whatever fails on the way.

`CHAOS_RENTALS` sets how many rentals meet a failing provider and a killed processor, `CHAOS_OFFERS`
how many offers are refused while a system is unwell, `CHAOS_READS` how often hot rentals are read.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from devstack.native.system import System
from kit.services.order_client import Shop
from kit.services.rental_client import Rider
from kit.services.worker_deaths import kill_processor_worker
from kit.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

RENTALS = int(os.environ.get("CHAOS_RENTALS", "60"))
PER_SECOND, KILLS = 20, 5
ASKED = int(os.environ.get("CHAOS_OFFERS", "20"))
READS = int(os.environ.get("CHAOS_READS", "320"))
READERS = 64


@pytest.fixture
def rider(system: System) -> Iterator[Rider]:
    system.wait_ready()
    rider = Rider(system)
    rider.calm()
    yield rider
    rider.calm()
    rider.http.close()


def test_a_ride_is_active_within_a_second_and_ends_with_the_right_total(rider: Rider) -> None:
    """At least one of five: a machine that stands still for a moment is no system that polls."""
    times = []
    for number in range(5):
        began = time.monotonic()
        rental = rider.start(f"user-{100 + number}", f"scooter-quick-{number}")
        times.append(time.monotonic() - began)
        assert rental["status"] == "ACTIVE"
        rider.age(60)
        receipt = rider.finish(rental["id"]).json()
        ended = rider.rental(rental["id"], wait=30)
        assert (ended["status"], ended["payment_status"]) == ("FINISHED", "CLEARED")
        assert ended["total_amount"] == receipt["total_amount"] >= 69
        steps = rider.http.get(f"{rider.api}/rentals/{rental['id']}/history").json()["items"]
        assert [s["status"] for s in steps] == ["STARTING", "ACTIVE", "FINISHING", "FINISHED"]
    print(f"offer to ACTIVE: {', '.join(f'{one:.3f}' for one in times)} s")
    assert min(times) < 1


def test_money_moves_once_while_the_provider_fails_and_the_processor_is_killed(
    rider: Rider,
) -> None:
    tokens = [rider.token(f"user-{1000 + n}", f"scooter-chaos-{n}") for n in range(RENTALS)]
    for step in ("hold", "clear", "release"):
        rider.trouble(step, {"mode": "failing", "rate": 0.3}, {"mode": "hanging", "rate": 0.05})
    began = time.monotonic()

    def rent(number: int) -> str:
        """At its time, by somebody of their own."""
        time.sleep(max(0.0, began + number / PER_SECOND - time.monotonic()))
        id_: str = rider.take(tokens[number], wait=0)["id"]
        return id_

    with ThreadPoolExecutor(24) as pool:
        renting = [pool.submit(rent, number) for number in range(RENTALS)]
        for kill in range(1, KILLS + 1):
            share = kill / (KILLS + 1)
            while sum(future.done() for future in renting) < share * RENTALS:
                time.sleep(0.02)
            kill_processor_worker(rider.system)
        rental_ids = [future.result() for future in renting]
    rider.age(60)
    ends = rider.ends_of(rental_ids)
    print(f"{RENTALS} rentals: {Counter(end['status'] for end in ends)}")
    rider.calm()
    assert {end["status"] for end in ends} == {"FINISHED"}
    expected = {end["id"]: Counter(_expected(end)) for end in ends}

    def differing() -> dict[str, Counter[tuple[str, int, str]]]:
        books = rider.books()
        found = {id_: Counter(books.get(id_, ())) for id_ in expected}
        return {id_: moved for id_, moved in found.items() if moved != expected[id_]}

    # A ride that cost nothing has ended when its hold is still to be given back.
    until(lambda: not differing(), within=120)
    assert not differing(), {id_: expected[id_] for id_ in differing()}


def _expected(end: dict[str, Any]) -> list[tuple[str, int, str]]:
    """A hold, and a clear of the total; for a ride that cost nothing the hold given back."""
    if end["total_amount"]:
        return [("hold", 300, "held"), ("clear", end["total_amount"], "cleared")]
    return [("hold", 300, "held"), ("release", 300, "released")]


@pytest.mark.parametrize("mode", ["slow", "failing", "nonsense", "away"])
def test_refusals_are_quick_and_nothing_needs_a_restart(rider: Rider, mode: str) -> None:
    """Scooters and tariffs are needed, for a zone that nobody has heard of yet."""
    pids = [rider.system.pid_of(name) for name in ("orders-api", "processor-worker")]
    if mode == "away":
        rider.system.stop_process("stubs")
    else:
        rider.trouble("scooters", {"mode": mode})
    with ThreadPoolExecutor(4) as pool:
        took = sorted(pool.map(lambda number: _refusal(rider, number), range(ASKED)))
    print(f"{mode}: refused in {took[len(took) // 2]:.3f} s, the slowest {took[-1]:.3f} s")
    assert took[-1] < 1.5
    if mode == "away":
        rider.system.start_process("stubs")
        rider.system.wait_ready()
    rider.calm()
    deadline = time.monotonic() + 60
    while rider.offer("user-1", "scooter-well").status_code != 201:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert pids == [rider.system.pid_of(name) for name in ("orders-api", "processor-worker")]


def _refusal(rider: Rider, number: int) -> float:
    began = time.monotonic()
    answer = rider.offer("user-1", f"scooter-{number}")
    took = time.monotonic() - began
    assert (answer.status_code, answer.json()["code"]) == (503, "offers_unavailable")
    return took


def test_a_provider_that_is_away_means_later_and_not_never(rider: Rider) -> None:
    rental = rider.start("user-77", "scooter-77")
    rider.age(60)
    rider.trouble("clear", {"mode": "failing"})
    assert rider.finish(rental["id"]).status_code == 200
    assert rider.rental(rental["id"], wait=3)["status"] == "FINISHING"
    rider.calm()
    assert rider.end_of(rental["id"])["status"] == "FINISHED"


async def test_hot_rentals_are_read_with_few_transactions(rider: Rider, shop: Shop) -> None:
    """One at most for each; how many join one depends on how many ask while a statement runs."""
    rentals = [rider.start(f"user-{200 + n}", f"scooter-hot-{n}")["id"] for n in range(4)]
    orders = [str(shop.place_order()) for _ in range(4)]
    rates = {}
    with rider.system.without("orders-worker"):  # its transactions come in bursts
        for kind, ids in (("orders", orders), ("rentals", rentals)):
            idle, began = _transactions(rider), time.monotonic()
            before, unread = _transactions(rider), time.monotonic() - began
            began = time.monotonic()
            await _read(f"{rider.api}/{kind}", ids)
            took = time.monotonic() - began
            after, lasted = _transactions(rider), time.monotonic() - began
            asked = round(after - before - (before - idle) * lasted / unread)
            rates[kind] = READS / took
            print(f"{kind}: {rates[kind]:.0f} reads/s, {asked} transactions for {READS} reads")
    rider.system.wait_ready()
    assert asked < 1.1 * READS


async def _read(url: str, ids: list[str]) -> None:
    """All readers ask at once, each on its connection, and again when all are answered."""
    asked = urlsplit(url)
    readers = [await asyncio.open_connection(asked.hostname, asked.port) for _ in range(READERS)]
    for turn in range(READS // READERS):
        for number, (_, writer) in enumerate(readers):
            path = f"{asked.path}/{ids[(number + turn) % len(ids)]}"
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {asked.netloc}\r\n\r\n".encode())
        for answers, _ in readers:
            head = await answers.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            await answers.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
    for _, writer in readers:
        writer.close()


def _transactions(rider: Rider) -> int:
    """In the database of service-orders so far, of every process."""
    with psycopg.connect(rider.system.admin_database_url, autocommit=True) as connection:
        time.sleep(1.5)  # PostgreSQL, "The Cumulative Statistics System": at most a second late
        found = connection.execute(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = 'orders'"
        ).fetchone()
    assert found is not None
    return int(found[0])

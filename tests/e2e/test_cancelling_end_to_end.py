"""Orders are cancelled at random moments while they are processed and workers die.

`CHAOS_ORDERS` sets how many; a short share of it runs with all other tests.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import psycopg
import pytest

from devstack.native.system import CHECKOUT, Layout, System
from kit.services.order_client import TERMINAL, Shop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ORDERS = int(os.environ.get("CHAOS_ORDERS", "150"))
PRODUCTS = [f"product_{number}" for number in range(5)]
SLOW = {"PROCESSING_DELAY_MIN": "0", "PROCESSING_DELAY_MAX": "1", "LOG_LEVEL": "INFO"}


@pytest.fixture(scope="module", params=["simulated", "inventory"])
def slow_system(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    folder: Path = tmp_path_factory.mktemp("slow")
    environment = SLOW | {"FULFILMENT_POLICY": request.param}
    with System(Layout(CHECKOUT, folder / "system"), env=environment) as system:
        yield system


class Customer:
    """Places one order, and perhaps changes their mind."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop, self.random = shop, random.Random(seed)
        self.order_id = ""
        self.cancelled = False

    def __call__(self) -> None:
        quantity = self.random.randint(1, 3)
        lines = [{"product_id": self.random.choice(PRODUCTS), "quantity": quantity}]
        body = {"user_id": "u", "products": lines, "amount": "1.00"}
        self.order_id = httpx.post(self.shop.api, json=body, timeout=30).json()["id"]
        if self.random.random() < 0.7:
            time.sleep(self.random.uniform(0, 1.2))
            url = f"{self.shop.api}/{self.order_id}/cancel"
            self.cancelled = httpx.post(url, timeout=30).status_code == 200


def test_cancel_wins_or_loses_but_never_both(slow_system: System) -> None:
    shop = Shop(slow_system)
    start = dict.fromkeys(PRODUCTS, ORDERS)
    for product_id, stock in start.items():
        url = f"{slow_system.urls['processor']}/api/v1/products/{product_id}"
        httpx.put(url, json={"stock": stock}, timeout=30).raise_for_status()
    customers = [Customer(shop, seed) for seed in range(ORDERS)]
    with watching_stock(slow_system), ThreadPoolExecutor(16) as pool:
        running = [pool.submit(customer) for customer in customers]
        for share, name in ((0.3, "processor-worker"), (0.6, "orders-worker")):
            until_done(running, share)
            slow_system.kill(name)
        for future in running:
            future.result()
    shop.placed = [customer.order_id for customer in customers]
    shop.assert_nothing_lost_or_doubled()
    ends = {id_: shop.end_of(id_, 10) for id_ in shop.placed}
    for customer in customers:
        assert customer.cancelled == (ends[customer.order_id] == "CANCELLED")
    assert set(Counter(ends.values())) <= TERMINAL
    assert_histories_hold(shop, ends)
    assert_stock_adds_up(slow_system, start)


def until_done(running: Sequence[Future[None]], share: float) -> None:
    deadline = time.monotonic() + 300
    while sum(future.done() for future in running) < share * len(running):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_histories_hold(shop: Shop, ends: dict[str, str]) -> None:
    """No status follows a terminal one, but for the note that something came too late."""
    for order_id in shop.placed[:: max(1, len(shop.placed) // 100)]:
        items = httpx.get(f"{shop.api}/{order_id}/history", timeout=30).json()["items"]
        statuses = [item["status"] for item in items]
        first_end = next(n for n, status in enumerate(statuses) if status in TERMINAL)
        assert set(statuses[first_end:]) == {ends[order_id]}
        assert all(item["reason"].startswith("ignored") for item in items[first_end + 1 :])


class watching_stock:
    """Stock is never seen below nothing while orders come and go."""

    def __init__(self, system: System) -> None:
        self.url = system.environment["processor"]["DATABASE_URL_PROCESSOR"]
        self.lowest, self.over = 0, threading.Event()

    def __enter__(self) -> None:
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self) -> None:
        with psycopg.connect(self.url, autocommit=True) as database:
            while not self.over.wait(0.05):
                [(low,)] = database.execute("SELECT min(stock) FROM products").fetchall()
                self.lowest = min(self.lowest, low)

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        assert self.lowest >= 0


def assert_stock_adds_up(system: System, start: dict[str, int]) -> None:
    """What is left and what COMPLETED orders hold is what there was."""

    def held_by_completed() -> dict[str, int]:
        with psycopg.connect(system.environment["orders"]["DATABASE_URL_ORDERS"]) as database:
            return dict(
                database.execute(
                    "SELECT product_id, sum(quantity)::int FROM order_lines"
                    " JOIN orders ON orders.id = order_id WHERE status = 'COMPLETED' GROUP BY 1"
                ).fetchall()
            )

    def left() -> dict[str, int]:
        with psycopg.connect(system.environment["processor"]["DATABASE_URL_PROCESSOR"]) as database:
            return dict(database.execute("SELECT product_id, stock FROM products").fetchall())

    held = held_by_completed() if _inventory(system) else {}
    expected = {product: stock - held.get(product, 0) for product, stock in start.items()}
    deadline = time.monotonic() + 30
    while left() != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left() == expected


def _inventory(system: System) -> bool:
    return system.environment["processor"].get("FULFILMENT_POLICY") == "inventory"

"""Placing orders with a running system, and counting what became of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import psycopg

from devstack.native.system import System

ORDER = {
    "user_id": "user_1",
    "products": [
        {"product_id": "product_001", "quantity": 1},
        {"product_id": "product_002", "quantity": 19},
        {"product_id": "product_003", "quantity": 17},
    ],
    "amount": "140",
}
TERMINAL = {"COMPLETED", "FAILED", "CANCELLED"}


@dataclass
class Shop:
    """A customer of one system. Only what was answered with 201 counts as placed."""

    system: System
    placed: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    @property
    def api(self) -> str:
        return f"{self.system.urls['orders']}/api/v1/orders"

    def place_order(self) -> str | None:
        try:
            answer = httpx.post(self.api, json=ORDER, timeout=10)
        except httpx.TransportError as lost:
            self.refused[type(lost).__name__] += 1
            return None
        if answer.status_code != 201:
            self.refused[str(answer.status_code)] += 1
            return None
        self.placed.append(answer.json()["id"])
        return self.placed[-1]

    def has_placed(self, count: int) -> bool:
        return len(self.placed) >= count

    @contextmanager
    def customers(self, orders: int, *, every: float) -> Iterator[None]:
        """While the block runs and until so many are placed, place orders, one each `every` s."""
        target = len(self.placed) + orders

        def shop_on() -> None:
            while len(self.placed) < target and not given_up.is_set():
                self.place_order()
                time.sleep(every)

        given_up = threading.Event()
        customer = threading.Thread(target=shop_on)
        customer.start()
        try:
            yield
            customer.join(120)
            assert not customer.is_alive(), f"only {len(self.placed)} placed; {self.refused}"
        finally:
            given_up.set()
            customer.join(30)

    def wait_until_all_end(self, *, within: float = 90) -> Counter[str]:
        """Wait for the end of all placed orders; says how they ended."""
        with ThreadPoolExecutor(8) as pool:
            return Counter(pool.map(lambda id_: self.end_of(id_, within), self.placed))

    def end_of(self, order_id: str, within: float) -> str:
        deadline, status = time.monotonic() + within, "unknown"
        while status not in TERMINAL and time.monotonic() < deadline:
            with suppress(httpx.TransportError, KeyError):
                answer = httpx.get(f"{self.api}/{order_id}/status?wait=5", timeout=15)
                status = answer.json()["status"]
        return status

    def processing_rows(self) -> Counter[str]:
        """How many rows the processor holds about each placed order."""
        url = self.system.environment["processor"]["DATABASE_URL_PROCESSOR"]
        with psycopg.connect(url) as connection:
            rows = connection.execute("SELECT order_id::text FROM fulfilments").fetchall()
        wanted = set(self.placed)
        return Counter(order_id for (order_id,) in rows if order_id in wanted)

    def assert_nothing_lost_or_doubled(self) -> None:
        """Every 201 ended, and was processed exactly once."""
        ends = self.wait_until_all_end()
        assert set(ends) <= TERMINAL, ends
        rows = self.processing_rows()
        assert len(rows) == len(self.placed)
        assert set(rows.values()) == {1}

    def readiness(self, who: str) -> tuple[int, str]:
        answer = httpx.get(f"{self.system.urls[who]}/health/ready", timeout=10)
        return answer.status_code, answer.json()["status"]

"""Riding scooters with a running system, and looking into the payment provider's books."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from devstack.native.system import System

SETTLED = {"FINISHED", "PAYMENT_FAILED", "CANCELLED"}


@dataclass
class Rider:
    """Somebody who rents with one system."""

    system: System
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.http = httpx.Client(timeout=40, limits=httpx.Limits(max_connections=64))
        self.api = f"{self.system.urls['orders']}/api/v1"
        self.stubs = self.system.urls["stubs"]

    def trouble(self, system: str, *troubles: dict[str, Any]) -> None:
        body = {"troubles": list(troubles)}
        self.http.put(f"{self.stubs}/control/systems/{system}", json=body).raise_for_status()

    def calm(self) -> None:
        self.http.delete(f"{self.stubs}/control/systems").raise_for_status()

    def offer(self, user_id: str, scooter_id: str) -> httpx.Response:
        wanted = {"user_id": user_id, "scooter_id": scooter_id}
        return self.http.post(f"{self.api}/offers", json=wanted)

    def start(self, user_id: str, scooter_id: str, wait: float = 30) -> dict[str, Any]:
        """The rental, once its deposit is decided, or after so long."""
        return self.take(self.token(user_id, scooter_id), wait)

    def token(self, user_id: str, scooter_id: str) -> str:
        """An offer's, asked for again where a busy machine makes the external systems slow."""
        deadline = time.monotonic() + 120
        while (offer := self.offer(user_id, scooter_id)).status_code == 503:
            assert time.monotonic() < deadline, offer.text
            self.refused[offer.json()["detail"]] += 1
            time.sleep(0.1)
        token: str = offer.raise_for_status().json()["token"]
        return token

    def take(self, token: str, wait: float) -> dict[str, Any]:
        """The rental of an offer."""
        answer = self.http.post(f"{self.api}/rentals?wait={wait}", json={"token": token})
        assert answer.status_code == 201, answer.text
        started: dict[str, Any] = answer.json()
        return started

    def finish(self, rental_id: str) -> httpx.Response:
        return self.http.post(f"{self.api}/rentals/{rental_id}/finish")

    def rental(self, rental_id: str, wait: float = 0) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"{self.api}/rentals/{rental_id}?wait={wait}").json()
        return found

    def end_of(self, rental_id: str, within: float = 180) -> dict[str, Any]:
        """The rental as it is once it is over, finished as soon as it can be."""
        deadline = time.monotonic() + within
        while True:
            rental = self.rental(rental_id, wait=5)
            if rental["status"] in SETTLED or time.monotonic() > deadline:
                return rental
            if rental["status"] == "ACTIVE":
                self.finish(rental_id)

    def ends_of(self, rental_ids: list[str]) -> list[dict[str, Any]]:
        with ThreadPoolExecutor(12) as pool:
            return list(pool.map(self.end_of, rental_ids))

    def books(self) -> dict[str, list[tuple[str, int, str]]]:
        """By rental, every movement of money: its step, amount and status."""
        found: dict[str, list[tuple[str, int, str]]] = {}
        for row in self.http.get(f"{self.stubs}/control/ledger").json()["items"]:
            movement = (row["step"], row["amount"], row["status"])
            found.setdefault(row["order_id"], []).append(movement)
        return found

    def age(self, seconds: int) -> None:
        """Let every ride under way have begun so much earlier."""
        with psycopg.connect(self.system.environment["orders"]["DATABASE_URL_ORDERS"]) as database:
            database.execute(
                "UPDATE rentals SET active_at = active_at - make_interval(secs => %s)"
                " WHERE status = 'ACTIVE'",
                [seconds],
            )

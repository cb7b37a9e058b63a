"""Booking tables with a running system, and counting what became of it."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg

from devstack.native.system import System
from kit.services.restaurant import at

SETTLED = {"CONFIRMED", "REJECTED", "CANCELLED"}


@dataclass
class Diner:
    """Somebody who opens restaurants, books and reserves with one system."""

    system: System
    booked: list[int] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.http = httpx.Client(timeout=30, limits=httpx.Limits(max_connections=64))
        self.orders = f"{self.system.urls['orders']}/api/v1"
        self.processor = f"{self.system.urls['processor']}/api/v1"

    def open_restaurant(self, *seats: int) -> tuple[int, list[int]]:
        """A restaurant that both services know, and the ids of its tables."""
        body: dict[str, Any] = {"name": "R", "address": "A"}
        made = self.http.post(f"{self.processor}/restaurants", json=body).raise_for_status()
        id_ = made.json()["id"]
        tables = []
        for number, places in enumerate(seats):
            table = {"restaurant_id": id_, "name": f"T{number}", "seats": places}
            answer = self.http.post(f"{self.processor}/tables", json=table).raise_for_status()
            tables.append(answer.json()["id"])
        self.until_known(id_, len(seats))
        return id_, tables

    def until_known(self, restaurant_id: int, tables: int, *, within: float = 20) -> None:
        deadline = time.monotonic() + within
        while True:
            answer = self.http.get(f"{self.orders}/restaurants/{restaurant_id}")
            if answer.status_code == 200 and len(answer.json()["tables"]) == tables:
                return
            assert time.monotonic() < deadline, answer.text
            time.sleep(0.02)

    def book(self, restaurant_id: int, guests: int = 2, minutes: float = 0, **more: Any) -> int:
        """The id of a booking; 0 if the API could not be reached."""
        body = {"restaurant_id": restaurant_id, "booking_datetime": at(minutes)}
        body |= {"guests_count": guests, "duration_minutes": 60, **more}
        try:
            answer = self.http.post(f"{self.orders}/bookings", json=body)
        except httpx.TransportError as lost:
            self.refused[type(lost).__name__] += 1
            return 0
        assert answer.status_code == 201, answer.text
        self.booked.append(answer.json()["id"])
        return self.booked[-1]

    def reserve(self, table_id: int, minutes: float = 0, duration: int = 60) -> httpx.Response:
        body = {"table_id": table_id, "customer_name": "Ada", "reservation_time": at(minutes)}
        return self.http.post(
            f"{self.processor}/reservations", json={**body, "duration_minutes": duration}
        )

    def end_of(self, booking_id: int, within: float = 90) -> dict[str, Any]:
        """The booking as it is once it has settled."""
        deadline, booking = time.monotonic() + within, {"status": "unknown"}
        while booking["status"] not in SETTLED and time.monotonic() < deadline:
            with suppress(httpx.TransportError, KeyError):
                answer = self.http.get(f"{self.orders}/bookings/{booking_id}?wait=5")
                booking = answer.json()
        return booking

    def ends(self) -> Counter[str]:
        """How all bookings ended."""
        with ThreadPoolExecutor(8) as pool:
            return Counter(end["status"] for end in pool.map(self.end_of, self.booked))

    def rows(self, query: str, service: str = "processor") -> list[Any]:
        url = self.system.environment[service][f"DATABASE_URL_{service.upper()}"]
        with psycopg.connect(url) as connection:
            return connection.execute(query).fetchall()

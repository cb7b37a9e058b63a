"""Both services, live: one server and one migrated database for all tests of a file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest

from kit.http.live_services import Live, live_service
from kit.http.raw import exchange, request
from kit.servers.databases import fresh_database


def _live(name: str) -> Iterator[Live]:
    """Whatever the tests of a file do to it, it answers none of their requests 5xx."""
    with (
        fresh_database(os.environ["TEST_POSTGRES_URL"]) as database_url,
        live_service(name, database_url) as live,
    ):
        yield live
        counted = httpx.get(f"{live.base}/metrics", timeout=30).text.splitlines()
        assert [line for line in counted if 'status="5' in line] == []


DEPLOYED = Path(__file__).parents[2] / "deploy/secrets/rabbitmq_definitions.json"
USERS = ("orders", "processor")

Login = Callable[[str], str]


@pytest.fixture(scope="module")
def orders() -> Iterator[Live]:
    yield from _live("orders")


@pytest.fixture(scope="module")
def processor() -> Iterator[Live]:
    yield from _live("processor")


@pytest.fixture
def nothing_is_left_behind(orders: Live, processor: Live) -> Iterator[None]:
    """The test stores no row anywhere, and the services answer the next one."""
    before = _rows(orders, processor)
    yield
    assert exchange(orders, request("GET", b"/api/v1/orders?limit=1")).status_code == 200
    assert exchange(processor, request("GET", b"/health/ready")).status_code == 200
    assert _rows(orders, processor) == before


def _rows(orders: Live, processor: Live) -> list[dict[str, int]]:
    of_orders = ("orders", "order_lines", "order_history", "bookings", "booking_history")
    of_orders += ("tickets", "ticket_comments", "ticket_history")
    of_orders += ("rentals", "open_rentals", "used_offers", "user_summary")
    of_processor = ("products", "restaurants", "tables", "allocations", "payments")
    both = ("outbox", "idempotency_keys")
    return [orders.rows(*of_orders, *both), processor.rows(*of_processor, *both)]


def rights() -> dict[str, dict[str, str]]:
    """By user, as deployed in containers."""
    permissions = json.loads(DEPLOYED.read_text())["permissions"]
    return {one["user"]: {k: one[k] for k in ("configure", "write", "read")} for one in permissions}


@pytest.fixture
def login(broker_url: str) -> Iterator[Login]:
    """The URL for one of the services' users, who exist for the length of the test."""
    url, suffix = urlsplit(broker_url), uuid4().hex[:8]
    with httpx.Client(base_url=os.environ["TEST_RABBITMQ_MANAGEMENT_URL"], timeout=60) as api:
        for user in USERS:
            name = f"{user}-{suffix}"
            api.put(f"/api/users/{name}", json={"password": "x", "tags": ""}).raise_for_status()
            place = f"/api/permissions{url.path}/{name}"
            api.put(place, json=rights()[user]).raise_for_status()
        try:
            place = f"{url.hostname}:{url.port}"
            yield lambda user: urlunsplit(url._replace(netloc=f"{user}-{suffix}:x@{place}"))
        finally:
            for user in USERS:
                api.delete(f"/api/users/{user}-{suffix}").raise_for_status()

"""An order goes through two services, two outboxes and a broker, whatever dies on the way.

`CHAOS_AWAY_SECONDS` sets for how long there is no broker.
"""

from __future__ import annotations

import os
import time
from functools import partial

import httpx
import pytest

from kit.services.order_client import ORDER, TERMINAL, Shop
from kit.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

AWAY = int(os.environ.get("CHAOS_AWAY_SECONDS", "20"))


def test_an_order_is_settled_within_a_second(shop: Shop) -> None:
    """At least one of five: a machine that stands still for a moment is no system that polls."""
    assert min(settled_in(shop) for _ in range(5)) < 1


def settled_in(shop: Shop) -> float:
    """Seconds from the answer to a final status."""
    with httpx.Client(timeout=60) as http:
        answer = http.post(f"{shop.system.urls['orders']}/api/v1/orders/new/", json=ORDER)
        began = time.monotonic()
        assert (answer.status_code, answer.json()["status"]) == (201, "CREATED")
        status = http.get(f"{shop.api}/{answer.json()['id']}/status?wait=30").json()["status"]
    assert status in TERMINAL
    return time.monotonic() - began


def test_every_process_killed_once_loses_and_doubles_nothing(shop: Shop) -> None:
    with shop.customers(200, every=0.1):
        for name in ("orders-worker", "processor-worker", "orders-api", "rabbitmq", "postgres"):
            wait_until(partial(shop.has_placed, len(shop.placed) + 20))
            shop.system.kill(name)
    assert len(shop.placed) >= 200
    shop.system.wait_ready()
    shop.assert_nothing_lost_or_doubled()


def test_a_broker_that_is_away_delays_orders_and_loses_none(shop: Shop) -> None:
    workers = ("orders-worker", "processor-worker")
    before = [shop.system.pid_of(name) for name in workers]
    with shop.system.without("rabbitmq"):
        wait_until(lambda: shop.readiness("orders") == (200, "degraded"))
        wait_until(lambda: shop.readiness("orders-worker") == (503, "unavailable"))
        away_until = time.monotonic() + AWAY
        shop.system.kill("orders-api")  # it also starts without a broker
        wait_until(lambda: shop.place_order() is not None)
        while time.monotonic() < away_until:
            assert shop.place_order(), shop.refused
            time.sleep(0.5)
    shop.system.wait_ready()
    shop.assert_nothing_lost_or_doubled()
    assert [shop.system.pid_of(name) for name in workers] == before, "no restart was needed"

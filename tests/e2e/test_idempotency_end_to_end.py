"""One key, one order: however often it is sent at once, and whatever dies before the answer.

`CHAOS_ROUNDS` and `CHAOS_KEYS` set how often; a short share runs with all other tests.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import psycopg
import pytest

from kit.services.order_client import ORDER, Shop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "10"))
KEYS = int(os.environ.get("CHAOS_KEYS", "200"))


def send(shop: Shop, client: httpx.Client, key: str) -> httpx.Response:
    return client.post(shop.api, json=ORDER, headers={"Idempotency-Key": key}, timeout=30)


def orders_in_the_database(shop: Shop) -> int:
    with psycopg.connect(shop.system.environment["orders"]["DATABASE_URL_ORDERS"]) as database:
        [(count,)] = database.execute("SELECT count(*) FROM orders").fetchall()
        return int(count)


def test_one_key_fifty_times_at_once_is_one_order(shop: Shop) -> None:
    before, statuses = orders_in_the_database(shop), Counter[int]()
    limits = httpx.Limits(max_connections=50)
    with httpx.Client(limits=limits) as client, ThreadPoolExecutor(50) as pool:
        for _ in range(ROUNDS):
            key = str(uuid4())
            answers = list(pool.map(lambda _, key=key: send(shop, client, key), range(50)))
            statuses.update(answer.status_code for answer in answers)
            assert len({answer.content for answer in answers if answer.status_code == 201}) == 1
            refused = [answer for answer in answers if answer.status_code != 201]
            assert {answer.json()["code"] for answer in refused} <= {"idempotency_key_in_flight"}
    print(f"\n{ROUNDS} rounds of 50: {dict(statuses)}")
    assert set(statuses) <= {201, 409}
    assert orders_in_the_database(shop) == before + ROUNDS


def test_a_retry_after_a_killed_api_replays_what_was_committed(shop: Shop) -> None:
    before, answers = orders_in_the_database(shop), dict[str, bytes]()
    lost, replayed, done = Counter[str](), Counter[bool](), threading.Event()

    def place_order(key: str) -> None:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                with httpx.Client(timeout=30) as client:
                    answer = send(shop, client, key)
            except httpx.TransportError:
                lost[key] += 1
                time.sleep(0.05)
                continue
            if answer.status_code == 201:
                replayed["Idempotency-Replayed" in answer.headers] += 1
                answers[key] = answer.content
                return

    def kill_now_and_then() -> None:
        while not done.wait(1.5):
            shop.system.kill("orders-api")
            shop.system.wait_ready()

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(place_order, (str(uuid4()) for _ in range(KEYS))))
    finally:
        done.set()
        killer.join()
    print(f"\n{KEYS} keys, {lost.total()} answers lost, {replayed[True]} replayed")
    assert len(answers) == KEYS
    assert orders_in_the_database(shop) == before + KEYS

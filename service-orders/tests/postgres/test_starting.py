"""What stood still for weeks takes its first request: as real processes, without a worker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from psycopg import sql

from servicekit.process.urls import PostgresUrl

ORDER = {"user_id": "u", "products": [{"product_id": "p", "quantity": 1}], "amount": "1.00"}
WITHIN = 60.0
PARTITIONS = """
SELECT inhrelid::regclass::text FROM pg_inherits
 WHERE inhparent = 'outbox'::regclass ORDER BY 1
"""


@pytest.fixture
def left_alone(migrated: PostgresUrl) -> PostgresUrl:
    """A database whose last partition was of some day before today."""
    with psycopg.connect(migrated, autocommit=True) as connection:
        for (name,) in connection.execute(PARTITIONS).fetchall():
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
    return migrated


def command(role: str) -> list[str]:
    return [sys.executable, "-m", "service_orders", role]


def environment(database: PostgresUrl, **more: str) -> dict[str, str]:
    nobody = "amqp://nobody:nothing@127.0.0.1:1/"
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return {**kept, "DATABASE_URL_ORDERS": database, "RABBITMQ_URL": nobody, **more}


@contextmanager
def api(database: PostgresUrl, log: Path, **more: str) -> Iterator[httpx.Client]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    with log.open("wb") as said:
        process = subprocess.Popen(
            command("api"),
            env=environment(database, ORDERS_PORT=port, **more),
            stdout=said,
            stderr=subprocess.STDOUT,
        )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WITHIN) as http:
            wait_until_it_answers(http, process, log)
            yield http
    finally:
        process.terminate()
        process.wait(WITHIN)


def wait_until_it_answers(http: httpx.Client, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(httpx.TransportError):
            http.get("/health/live")
            return
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def test_the_first_request_after_weeks_without_a_worker_succeeds(
    left_alone: PostgresUrl, tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    with api(left_alone, log) as http:
        answer = http.post("/api/v1/orders", json=ORDER)
    assert answer.status_code == 201, log.read_text()


def test_an_api_of_two_processes_takes_orders_and_its_one_scrape_counts_all(
    left_alone: PostgresUrl, tmp_path: Path
) -> None:
    log = tmp_path / "api.log"
    with api(left_alone, log, API_PROCESSES="2") as http:
        base = str(http.base_url)
        for _ in range(20):
            httpx.post(f"{base}/api/v1/orders", json=ORDER, timeout=WITHIN).raise_for_status()
        order = http.post("/api/v1/orders", json=ORDER).json()["id"]
        seen = http.get(f"/api/v1/orders/{order}/status", params={"wait": 0.1})
        metrics = httpx.get(f"{base}/metrics", timeout=WITHIN).text.splitlines()
    assert seen.status_code == 200
    counted = 'http_requests_total{method="POST",route="/api/v1/orders",status="201"} 21.0'
    assert counted in metrics
    assert [one for one in metrics if "pid=" in one] == []
    assert log.read_text().count('"event":"listening"') == 2


def test_migrating_makes_the_days_to_come_of_a_schema_that_is_at_head(
    left_alone: PostgresUrl,
) -> None:
    subprocess.run(command("migrate"), env=environment(left_alone), timeout=WITHIN, check=True)
    with psycopg.connect(left_alone) as connection:
        assert len(connection.execute(PARTITIONS).fetchall()) == 16

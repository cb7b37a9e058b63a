"""Whatever the broker loses comes back by itself: nobody types a command.

`CHAOS_LOSS_SECONDS` is how long a loss goes on, `CHAOS_LOSS_ORDERS` how many orders a second are
placed meanwhile. Each test prints the seconds from the loss to the last repaired effect.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import psycopg
import pytest

from contracts import SUBSCRIPTIONS
from contracts.exchanges import ORDERS
from contracts.orders import ORDERS_ORDERS, PROCESSOR_ORDERS
from kit.servers.broker_losses import BrokerLosses
from kit.services.order_client import TERMINAL, Shop
from kit.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

SECONDS = float(os.environ.get("CHAOS_LOSS_SECONDS") or 3)
RATE = int(os.environ.get("CHAOS_LOSS_ORDERS") or 20)
CUSTOMERS = 4
WITHIN = 300.0
"""Seconds until all is back, whatever happened."""
SOON = 120.0
"""Seconds until the lost end of an idle stream is back."""
IDLE = 10
QUEUES = sorted({subscription.queue for subscription in SUBSCRIPTIONS})

UNFINISHED = """
SELECT count(*) FROM orders WHERE id = ANY(%s::uuid[]) AND status IN ('CREATED', 'IN_PROGRESS')
"""
LAST_EFFECT = "SELECT max(updated_at) FROM orders WHERE id = ANY(%s::uuid[]) AND created_at <= %s"
TOLD = """
SELECT count(*) FROM outbox_beacons b JOIN outbox e USING (source, aggregate_type)
 WHERE e.aggregate_id = %s AND b.until > e.published_at
"""
FORGET = "DELETE FROM outbox WHERE aggregate_id = %s"
REQUESTS = "SELECT count(*) FROM outbox WHERE type = 'stream.resend_requested'"
PARKED = "SELECT count(*) FROM inbox_parked"
UNPUBLISHED = "SELECT count(*) FROM outbox WHERE published_at IS NULL"


@pytest.fixture
def losses(shop: Shop) -> BrokerLosses:
    return BrokerLosses(shop.system)


def test_what_missed_its_queue_for_want_of_a_binding_comes_back(
    shop: Shop, losses: BrokerLosses
) -> None:
    with orders_coming(shop):
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            for one in (PROCESSOR_ORDERS, ORDERS_ORDERS):
                for key in one.routing_keys:
                    losses.unbind(one.exchange, one.queue, key)
        lost_at = datetime.now(UTC)
    report(shop, f"unbound for {SECONDS:g} s", lost_at)


def test_what_was_purged_three_times_comes_back(shop: Shop, losses: BrokerLosses) -> None:
    asked = requests(shop)
    with orders_coming(shop):
        for waiting in (orders_waiting, answers_waiting, orders_waiting):
            with waiting(shop, losses):
                lost_at = lose(losses.purge)
    report(shop, "each queue purged three times", lost_at)
    assert requests(shop) > asked


def test_what_was_in_deleted_queues_comes_back(shop: Shop, losses: BrokerLosses) -> None:
    asked = requests(shop)
    with orders_coming(shop):
        for waiting in (orders_waiting, answers_waiting):
            with waiting(shop, losses):
                lost_at = lose(losses.delete)
    report(shop, "each queue deleted twice", lost_at)
    assert requests(shop) > asked


def test_what_a_wiped_broker_had_comes_back(shop: Shop, losses: BrokerLosses) -> None:
    asked = requests(shop)
    with orders_coming(shop), orders_waiting(shop, losses):
        losses.wipe()
        lost_at = datetime.now(UTC)
    report(shop, "the broker's data removed", lost_at)
    assert requests(shop) > asked


def test_what_came_after_the_copy_that_a_broker_is_restored_from_comes_back(
    shop: Shop, losses: BrokerLosses, tmp_path: Path
) -> None:
    asked = requests(shop)
    with orders_coming(shop):
        losses.copy(tmp_path / "copy")
        time.sleep(2 * SECONDS)
        with orders_waiting(shop, losses):
            losses.restore(tmp_path / "copy")
            lost_at = datetime.now(UTC)
    report(shop, f"the broker restored from a copy {2 * SECONDS:g} s old or older", lost_at)
    assert requests(shop) > asked


def test_the_last_messages_of_idle_streams_come_back_and_nothing_else_is_sent_again(
    shop: Shop, losses: BrokerLosses
) -> None:
    shop.system.wait_ready()
    resent = metric(shop, "orders-worker", "outbox_resent_events_total")
    with shop.system.without("processor-worker"):
        for _ in range(IDLE):
            assert shop.place_order(), shop.refused
        lost_at = lose_published(shop, losses)
    seconds = report(shop, f"the last messages of {IDLE} idle streams deleted", lost_at)
    assert seconds < SOON
    assert metric(shop, "orders-worker", "outbox_resent_events_total") - resent == IDLE


def test_what_the_outbox_table_no_longer_has_is_reported_once_and_other_streams_flow(
    shop: Shop, losses: BrokerLosses
) -> None:
    with shop.system.without("processor-worker"):
        lost = shop.place_order()
        assert lost
        lose_published(shop, losses)
        wait_until(lambda: counted(shop, "orders", TOLD, lost) == 1, within=60)
        with _database(shop, "orders") as connection:
            connection.execute(FORGET, [lost])
    shop.system.wait_ready()
    unrecoverable = partial(metric, shop, "processor-worker", "outbox_unrecoverable_events")
    wait_until(lambda: unrecoverable() == 1, within=WITHIN)
    other = shop.place_order()
    assert other
    assert shop.end_of(other, 30) in TERMINAL
    assert shop.end_of(lost, 1) == "CREATED"
    log = shop.system.layout.log_of("processor-worker").read_text()
    assert len([line for line in log.splitlines() if "unrecoverable" in line and lost in line]) == 1
    skip(shop, PROCESSOR_ORDERS.queue, f"{ORDERS.source}/order/{lost}")
    wait_until(lambda: unrecoverable() == 0, within=WITHIN)


def requests(shop: Shop) -> int:
    """How many requests for lost events both services have made."""
    return sum(counted(shop, service, REQUESTS) for service in ("orders", "processor"))


def skip(shop: Shop, queue: str, stream: str) -> None:
    """The way out, as a person takes it."""
    url = shop.system.environment["processor"]["DATABASE_URL_PROCESSOR"]
    words = ("parked", "skip", queue, stream, "--through", "1", "--tail", "--yes")
    command = (sys.executable, "-m", "outbox.cli", *words, "--database-url", url)
    subprocess.run(command, check=True, capture_output=True, timeout=60)


def lose_published(shop: Shop, losses: BrokerLosses) -> datetime:
    """Once all is published, and no consumer has received it."""
    wait_until(lambda: counted(shop, "orders", UNPUBLISHED) == 0)
    losses.purge(PROCESSOR_ORDERS.queue)
    return datetime.now(UTC)


def lose(remove: Callable[[str], None]) -> datetime:
    """Do it to each queue of the services."""
    for queue in QUEUES:
        remove(queue)
    return datetime.now(UTC)


@contextmanager
def orders_coming(shop: Shop) -> Iterator[None]:
    """Orders at the chosen rate, from before the loss until after it."""

    def shop_on() -> None:
        while not enough.wait(CUSTOMERS / RATE):
            shop.place_order()

    enough = Event()
    with ThreadPoolExecutor(CUSTOMERS) as pool:
        for _ in range(CUSTOMERS):
            pool.submit(shop_on)
        try:
            wait_until(partial(shop.has_placed, RATE))
            yield
            wait_until(partial(shop.has_placed, len(shop.placed) + RATE))
        finally:
            enough.set()


@contextmanager
def orders_waiting(shop: Shop, losses: BrokerLosses) -> Iterator[None]:
    """While orders wait for service-processor in their queue, and it does not run."""
    with shop.system.without("processor-worker"):
        wait_for_messages(losses, PROCESSOR_ORDERS.queue)
        yield


@contextmanager
def answers_waiting(shop: Shop, losses: BrokerLosses) -> Iterator[None]:
    """While what service-processor says waits for service-orders in its queue."""
    with shop.system.without("processor-worker"):
        wait_for_messages(losses, PROCESSOR_ORDERS.queue)
        shop.system.stop_process("orders-worker")
    try:
        wait_for_messages(losses, ORDERS_ORDERS.queue)
        yield
    finally:
        shop.system.start_process("orders-worker")


def wait_for_messages(losses: BrokerLosses, queue: str) -> None:
    wait_until(lambda: asyncio.run(losses.messages(queue)) >= RATE, within=120)


def report(shop: Shop, loss: str, lost_at: datetime) -> float:
    """Every order ends, each effect came once, nothing waits; print the seconds of the repair."""
    wait_until(lambda: counted(shop, "orders", UNFINISHED, shop.placed) == 0, within=WITHIN)
    last = _one(shop, "orders", LAST_EFFECT, shop.placed, lost_at)
    shop.assert_nothing_lost_or_doubled()
    for service in ("orders", "processor"):
        wait_until(lambda service=service: counted(shop, service, PARKED) == 0)  # type: ignore[misc]
    seconds = float(max(0.0, (last - lost_at).total_seconds()))
    print(f"\n{loss}: {len(shop.placed)} orders, last repaired effect after {seconds:.1f} s")
    return seconds


def counted(shop: Shop, service: str, query: str, *parameters: object) -> int:
    return int(_one(shop, service, query, *parameters))


def _one(shop: Shop, service: str, query: str, *parameters: object) -> Any:
    with _database(shop, service) as connection:
        row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row[0]


def _database(shop: Shop, service: str) -> psycopg.Connection[Any]:
    return psycopg.connect(shop.system.environment[service][f"DATABASE_URL_{service.upper()}"])


def metric(shop: Shop, process: str, name: str) -> float:
    """The sum of a metric over its labels."""
    text = httpx.get(f"{shop.system.urls[process]}/metrics", timeout=30).text
    return sum(float(n) for n in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE))

"""The HTTP operations of a real worker, with the rights that its service has."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import aio_pika
import httpx
import pytest

from devstack.host import operations_token
from devstack.native.system import System
from kit.services.order_client import Shop
from kit.waiting import wait_until

pytestmark = pytest.mark.e2e
QUEUE = "processor.orders"


@pytest.fixture
def operations(system: System) -> Iterator[httpx.Client]:
    """A client with the token that was made for the system."""
    system.wait_ready()
    token = operations_token.file_of(system.layout).read_text().strip()
    headers = {"Authorization": f"Bearer {token}"}
    base = f"{system.urls['processor-worker']}/ops/v1"
    with httpx.Client(base_url=base, headers=headers, timeout=30) as client:
        yield client


async def publish_nonsense(url: str) -> None:
    async with await aio_pika.connect(url) as connection:
        channel = await connection.channel()
        await channel.default_exchange.publish(aio_pika.Message(b"no event"), f"{QUEUE}.dead")


def test_the_processor_is_looked_after_over_http(
    system: System, shop: Shop, operations: httpx.Client
) -> None:
    shop.place_order()
    assert operations.get("/status").json()["outbox"]["lanes"]["total"] == 16
    assert QUEUE in {view["queue"] for view in operations.get("/queues").json()}
    levels = {one["level"] for one in operations.get("/doctor").json()}
    assert "error" not in levels
    paused = operations.post("/controls/pause", json={"queue": QUEUE, "why": "test"}).json()
    assert [(one["target"], one["set_by"]) for one in paused] == [(QUEUE, "developer")]
    assert operations.post("/controls/resume", json={"queue": QUEUE}).json() == {"resumed": True}
    history = operations.get("/history").json()["items"]
    assert [(row["what"], row["via"], row["outcome"]) for row in history[:2]] == [
        ("resume", "http", "done"),
        ("pause", "http", "done"),
    ]


def test_dead_letters_are_moved_back_with_the_rights_of_the_service(
    system: System, operations: httpx.Client
) -> None:
    asyncio.run(publish_nonsense(system.admin_rabbitmq_url))

    def dead_letters() -> int:
        preview = operations.post("/dead-letters/preview", json={"queue": QUEUE})
        assert preview.status_code == 200, preview.text
        return int(preview.json()["events"])

    wait_until(lambda: dead_letters() == 1)
    moved = operations.post("/dead-letters/move", json={"queue": QUEUE})
    assert (moved.status_code, moved.json()) == (200, {"messages": 1})
    wait_until(lambda: dead_letters() == 1)  # the consumer has refused it once more


def test_the_worker_tells_nothing_without_a_token(system: System) -> None:
    system.wait_ready()
    for name in ("orders-worker", "processor-worker"):
        url = system.urls[name]
        assert httpx.get(f"{url}/ops").json()["tokens"] == "1 known"
        refused = httpx.get(f"{url}/ops/v1/status")
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"

"""The health of a worker process, while a person has paused something or a type has tripped."""

from __future__ import annotations

from collections.abc import AsyncIterator
from hashlib import sha256

import httpx
import pytest

from kit.outbox.beacons import beacon, send
from kit.outbox.deliveries import events, publish
from kit.outbox.topology import AUDITED
from kit.outbox.world import QUEUE, Happened, World, open_world
from kit.servers import addresses
from kit.services.worker_process import worker
from kit.waiting import eventually
from outbox import Envelope, UnitOfWork
from outbox.operations.controls import OfQueue, pause, resume
from outbox.operations_api import OperatedService, Tokens, build_operations_app

TYPE = "order.happened"
TRIP = f"""
INSERT INTO inbox_tripped (consumer, type, cause, next_probe_at)
VALUES ('{QUEUE}', '{TYPE}', 'the bank is away', now() + interval '1 hour')
"""


async def handle(unit: UnitOfWork, event: Envelope) -> None: ...


@pytest.fixture
async def world(broker_url: str) -> AsyncIterator[World]:
    async with open_world(addresses.postgres(), broker_url) as world:
        yield world


async def is_now(client: httpx.AsyncClient, *expected: object) -> bool:
    """Status code, status, and the states of the background service and of its further checks."""
    answer = await client.get("/health/ready")
    body = answer.json()
    states = [check["state"] for check in body["checks"].values()][2:]
    return (answer.status_code, body["status"], *states) == expected


async def test_a_worker_with_a_paused_type_is_ready_and_says_paused(world: World) -> None:
    consumer = world.consumer(handle)
    async with worker(consumer=consumer) as client, await world.psycopg() as operator:
        await eventually(lambda: is_now(client, 200, "ready", "up", "up", "up"))
        await pause(operator, OfQueue(QUEUE, TYPE), by="ann")
        await eventually(lambda: is_now(client, 200, "ready", "up", "paused", "up"))
        await pause(operator, OfQueue(QUEUE), by="ann")
        await eventually(lambda: is_now(client, 200, "ready", "paused", "paused", "up"))
        await resume(operator, OfQueue(QUEUE))
        await resume(operator, OfQueue(QUEUE, TYPE))
        await eventually(lambda: is_now(client, 200, "ready", "up", "up", "up"))


async def test_a_worker_with_a_tripped_type_is_degraded_even_if_the_type_is_paused(
    world: World,
) -> None:
    await world.execute(TRIP)
    consumer = world.consumer(handle)
    async with worker(consumer=consumer) as client, await world.psycopg() as operator:
        await eventually(lambda: is_now(client, 200, "degraded", "up", "down", "up"))
        await pause(operator, OfQueue(QUEUE, TYPE), by="ann")
        await eventually(lambda: is_now(client, 200, "degraded", "up", "down", "up"))


async def test_a_worker_is_degraded_while_events_are_lost(world: World) -> None:
    consumer = world.consumer(handle, missing_after=0.5)
    async with worker(consumer=consumer) as client:
        await eventually(lambda: is_now(client, 200, "ready", "up", "up", "up"))
        await send(world, beacon(1, a=1))
        await eventually(lambda: is_now(client, 200, "degraded", "up", "up", "down"))
        await publish(world, *events(1, "a"))
        await eventually(lambda: is_now(client, 200, "ready", "up", "up", "up"))


async def test_a_worker_is_degraded_while_a_queue_lacks_its_binding(world: World) -> None:
    world.topology = AUDITED
    async with worker(relay=world.relay(topology_check=0.5)) as client:
        await eventually(lambda: is_now(client, 200, "ready", "up", "up"))
        async with world.broker(declare=False) as channel:
            await channel.queue_delete(QUEUE)
            await channel.declare_queue(QUEUE, durable=True)
        await world.emit(Happened("a"))
        await eventually(lambda: is_now(client, 200, "degraded", "up", "down"))
        async with world.broker(declare=False) as channel:
            await channel.queue_delete(QUEUE)
        await eventually(lambda: is_now(client, 200, "ready", "up", "up"))


async def test_the_operations_are_on_the_workers_port_for_those_with_a_token(
    world: World,
) -> None:
    token = "a-long-random-token"
    tokens = Tokens.parse(f"ann:viewer:{sha256(token.encode()).hexdigest()}")
    service = OperatedService("shop", world.database_url)
    async with worker(build_operations_app(service, tokens)) as client:
        await eventually(lambda: is_now(client, 200, "ready"))
        assert (await client.get("/ops/")).json()["tokens"] == "1 known"
        refused = await client.get("/ops/v1/status")
        assert (refused.status_code, refused.json()["instance"]) == (401, "/ops/v1/status")
        headers = {"Authorization": f"Bearer {token}"}
        answer = await client.get("/ops/v1/status", headers=headers)
        assert (answer.status_code, answer.json()["inbox"]["parked"]) == (200, [])
        refused = await client.post("/ops/v1/replay", headers=headers, json={})
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        document = (await client.get("/ops/v1/openapi.json")).json()
        assert "/parked/redrive" in document["paths"]


async def test_without_tokens_the_address_of_the_operations_says_so(world: World) -> None:
    operations = build_operations_app(OperatedService("shop", world.database_url), Tokens())
    async with worker(operations) as client:
        await eventually(lambda: is_now(client, 200, "ready"))
        assert "OPERATIONS_TOKENS" in (await client.get("/ops")).json()["tokens"]

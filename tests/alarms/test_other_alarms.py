"""Alarms of queues, jobs, requests and processes: each fires by its cause."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import aio_pika
import httpx
import psycopg
import pytest
from prometheus_client import CollectorRegistry, start_http_server
from pydantic import BaseModel

from kit.alarms import Alarms
from kit.http.live_services import live_service
from kit.outbox.deliveries import record
from kit.outbox.job_rows import enqueue
from kit.outbox.world import QUEUE, World, running
from kit.servers import addresses
from kit.servers.redis_server import redis_server
from kit.services.worker_process import worker
from kit.waiting import eventually
from outbox.jobs import Declined, Job, JobWorker, Result
from servicekit.cache.redis_store import RedisStore
from servicekit.http.client import ExternalSystem, Unavailable, open_client


@asynccontextmanager
async def queue_with(broker_url: str, messages: int) -> AsyncIterator[str]:
    """A queue of its own name, with so many messages and no consumer."""
    name = f"waits-{uuid4().hex[:8]}"
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel(publisher_confirms=False)
        await channel.declare_queue(name)
        for _ in range(messages):
            await channel.default_exchange.publish(aio_pika.Message(b"x"), name)
        yield name


async def test_messages_that_nobody_receives_are_reported(broker_url: str, alarms: Alarms) -> None:
    async with queue_with(broker_url, 1) as name:
        await eventually(lambda: alarms.fires("QueueHasNoConsumer", queue=name), within=30)
        assert await alarms.is_silent("QueueRunsFull", queue=name)


async def test_a_queue_that_runs_full_is_reported(broker_url: str, alarms: Alarms) -> None:
    async with queue_with(broker_url, 10_001) as name:
        await eventually(lambda: alarms.fires("QueueRunsFull", queue=name), within=30)


async def refuse(job: Job) -> Result:
    raise Declined(f"no account for {job.key}")


async def test_a_job_that_is_declined_has_failed(world: World, alarms: Alarms) -> None:
    async with (
        running(JobWorker(world.work, {"pay": refuse})),
        alarms.fired_by("JobsHaveFailed", kind="pay"),
    ):
        await enqueue(world, "a")


async def test_a_job_that_nobody_does_is_late(world: World, alarms: Alarms) -> None:
    async with (
        running(JobWorker(world.work, {"pay": refuse})),
        alarms.fired_by("JobsAreLate", kind="mail"),
    ):
        await enqueue(world, "a", kind="mail")
        await world.execute("UPDATE outbox_jobs SET next_attempt_at = now() - interval '61 s'")


async def test_a_process_that_has_ended_is_down(alarms: Alarms) -> None:
    server, thread = start_http_server(0, "127.0.0.1", CollectorRegistry())
    address = f"127.0.0.1:{server.server_port}"
    async with alarms.asking(address, service="kitchen", role="api"):
        await eventually(lambda: alarms.has_read(f'up{{instance="{address}"}} == 1'))
        async with alarms.fired_by("ProcessIsDown", service="kitchen", instance=address):
            server.shutdown()
            server.server_close()
    thread.join()


async def test_a_consumer_whose_queue_is_refused_is_down(world: World, alarms: Alarms) -> None:
    async with world.broker(declare=False) as channel:
        await channel.declare_queue(QUEUE, durable=True)
    async with (
        worker(consumer=world.consumer(record)),
        alarms.fired_by("BackgroundServiceIsDown", service="tests"),
    ):
        assert await alarms.is_silent("ProcessIsDown", service="tests")


async def test_requests_fail_while_the_database_is_away(database_url: str, alarms: Alarms) -> None:
    with live_service("orders", database_url) as live:
        address = urlsplit(live.base).netloc
        async with (
            alarms.asking(address, service="orders", role="api"),
            httpx.AsyncClient(base_url=live.base, timeout=30) as caller,
        ):

            async def ask() -> bool:
                await caller.get(f"/api/v1/orders/{uuid4()}")
                return await alarms.fires("RequestsFail", service="orders")

            await eventually(lambda: alarms.has_read(f'up{{instance="{address}"}} == 1'))
            assert not await ask()
            await _close(database_url)
            await eventually(ask, within=60)


async def _close(database_url: str) -> None:
    """Let nobody into the database any more."""
    name = urlsplit(database_url).path[1:]
    admin = await psycopg.AsyncConnection.connect(addresses.postgres(), autocommit=True)
    async with admin:
        await admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,)
        )


class Tariff(BaseModel):
    price: int


async def test_an_external_system_that_does_not_answer_is_reported(alarms: Alarms) -> None:
    async with open_client("http://127.0.0.1:1") as http:
        tariffs = ExternalSystem("tariffs", http, timeout=0.2)

        async def ask() -> bool:
            with pytest.raises(Unavailable):
                await tariffs.get("/tariffs/1", Tariff)
            return await alarms.fires("ExternalSystemFails", system="tariffs")

        assert not await ask()
        await eventually(ask, within=60)


async def test_a_cache_that_was_there_and_is_away_is_reported_until_it_is_back(
    tmp_path: Path, alarms: Alarms
) -> None:
    with redis_server(tmp_path) as redis:
        async with RedisStore(redis.url, pause=0.1) as store:

            async def is_away() -> bool:
                await store.fetch(["k"])
                return await alarms.fires("CacheIsAway", service="tests")

            await eventually(lambda: alarms.has_read("cache_available == 1"))
            assert not await is_away()
            redis.kill()
            await eventually(is_away, within=30)
            redis.start()
            await eventually(lambda: alarms.is_silent("CacheIsAway"), within=30)

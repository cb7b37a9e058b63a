"""The run's own PostgreSQL and RabbitMQ, which it kills and wipes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import aio_pika

from chaos.scenario import SIDES, TOPOLOGY, Environment, install
from devstack.native.system import System
from kit.servers.databases import fresh_database


@asynccontextmanager
async def fresh_environment(system: System) -> AsyncIterator[Environment]:
    """Two empty databases and empty queues."""
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(fresh_database(system.admin_database_url)) for name in SIDES
        }
        for url in urls.values():
            install(url)
        async with await aio_pika.connect(system.admin_rabbitmq_url) as connection:
            channel = await connection.channel()
            for side in SIDES.values():
                for queue in (side.queue, side.way_back):
                    await channel.queue_delete(queue)
            await TOPOLOGY.ensure(connection)
        yield Environment(urls, system.admin_rabbitmq_url)


async def kill(system: System, name: str) -> None:
    """SIGKILL to `postgres` or `rabbitmq`; returns when it accepts connections again."""
    parts = system.infrastructure
    before = system.pid_of(name)
    system.kill(name)
    while system.pid_of(name) in (0, before):  # noqa: ASYNC110 it happens in another process
        await asyncio.sleep(0.05)
    engine = parts.postgres if name == "postgres" else parts.rabbitmq
    assert engine is not None
    await asyncio.to_thread(engine.wait)

"""A PostgreSQL and a RabbitMQ of the run's own, because it makes them suffer."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager

import aio_pika

from chaos.sides import SIDES, TOPOLOGY, Place, install
from devstack.native.system import System
from kit.servers.databases import fresh_database


@asynccontextmanager
async def fresh_place(system: System) -> AsyncIterator[Place]:
    """Two empty databases, and queues with nothing in them."""
    with ExitStack() as stack:
        urls = {
            name: stack.enter_context(fresh_database(system.admin_database_url)) for name in SIDES
        }
        for url in urls.values():
            install(url)
        async with await aio_pika.connect(system.admin_rabbitmq_url) as connection:
            channel = await connection.channel()
            for side in SIDES.values():
                await channel.queue_delete(side.queue)
            await TOPOLOGY.ensure(connection)
        yield Place(urls, system.admin_rabbitmq_url)


async def kill(system: System, name: str) -> None:
    """SIGKILL to `postgres` or `rabbitmq`; returns when it takes connections again."""
    parts = system.infrastructure
    before = system.pid_of(name)
    system.kill(name)
    while system.pid_of(name) in (0, before):  # noqa: ASYNC110 it happens in another process
        await asyncio.sleep(0.05)
    engine = parts.postgres if name == "postgres" else parts.rabbitmq
    assert engine is not None
    await asyncio.to_thread(engine.wait)


def wipe_broker(system: System) -> None:
    """Stop it, remove all that it knows, start it."""
    system.stop_process("rabbitmq")
    shutil.rmtree(system.layout.home / "rabbitmq" / "mnesia")
    system.start_process("rabbitmq")

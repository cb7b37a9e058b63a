"""A small world for the library: one source, one queue, real PostgreSQL and RabbitMQ."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import psycopg
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from kit.servers.databases import filled_database
from outbox import (
    BackgroundService,
    Consumer,
    Handler,
    Notifier,
    Outbox,
    Relay,
    Subscription,
    Topology,
    Work,
    schema,
)
from outbox.inbox.failure_policy import Retry
from outbox.inbox.handlers import HandleMany
from outbox.inbox.settings import ConsumerSettings
from outbox.inbox.watchdog import Watchdog
from outbox.postgres.notifications import Notifications
from outbox.relay.settings import RelaySettings

SOURCE, EXCHANGE, QUEUE = "shop", "shop", "kitchen.orders"


@dataclass(frozen=True)
class Happened:
    """An event of the tests."""

    aggregate_id: str
    number: int = 0
    type: str = "order.happened"
    version: int = 1
    aggregate_type: str = "order"
    body: bytes | None = None

    def payload(self) -> bytes:
        return self.body if self.body is not None else b'{"number": %d}' % self.number


TAKES = Subscription(EXCHANGE, QUEUE, SOURCE, ("order",))


@dataclass
class World:
    """One database that is producer and consumer at once, and one broker."""

    database_url: str = field(repr=False)
    broker_url: str = field(repr=False)
    engine: AsyncEngine
    work: Work
    topology: Topology = field(default_factory=lambda: Topology([EXCHANGE], [TAKES]))

    async def emit(self, *events: Happened) -> None:
        async with self.work.begin() as unit:
            await unit.emit(*events)

    def relay(self, *, notifications: Notifications | None = None, **settings: Any) -> Relay:
        """Without beacons, unless a test asks for them: it would count them as events."""
        return Relay(
            database_url=self.database_url,
            broker_url=self.broker_url,
            exchange=EXCHANGE,
            topology=self.topology,
            settings=RelaySettings(**{"beacon_every": 0, **settings}),
            notifications=notifications,
        )

    def consumer(
        self,
        handler: Handler | HandleMany,
        *,
        more: Mapping[str, Handler | HandleMany] | None = None,
        watchdog: Watchdog | None = None,
        **settings: Any,
    ) -> Consumer:
        usual: dict[str, Any] = {
            "retry_every": 0.1,
            "failures": {Exception: Retry(base=0.1, ceiling=0.2)},
        }
        return Consumer(
            queue=QUEUE,
            handlers={"order.happened": handler, **(more or {})},
            work=self.work,
            broker_url=self.broker_url,
            topology=self.topology,
            settings=ConsumerSettings(**(usual | settings)),
            watchdog=watchdog,
        )

    async def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        async with await self.psycopg() as connection:
            cursor = await connection.execute(query, parameters)
            return list(await cursor.fetchall())

    async def psycopg(self) -> psycopg.AsyncConnection[tuple[Any, ...]]:
        return await psycopg.AsyncConnection.connect(self.database_url, autocommit=True)

    async def execute(self, statement: str, *parameters: object) -> None:
        async with await psycopg.AsyncConnection.connect(self.database_url) as connection:
            await connection.execute(statement, parameters)

    async def unpublished(self) -> int:
        [(count,)] = await self.rows("SELECT count(*) FROM outbox WHERE published_at IS NULL")
        assert isinstance(count, int)
        return count

    async def has_unpublished(self, count: int) -> bool:
        return await self.unpublished() == count

    async def has_owned_lanes(self, count: int) -> bool:
        """Whether so many lanes have an owner, in whatever process."""
        [(owned,)] = await self.rows(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
            " AND objid::bigint %% 65536 > 0 AND granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return bool(owned == count)

    @asynccontextmanager
    async def broker(self, *, declare: bool = True) -> AsyncIterator[AbstractChannel]:
        async with await aio_pika.connect(self.broker_url) as connection:
            if declare:
                await self.topology.ensure(connection)
            yield await connection.channel(publisher_confirms=True, on_return_raises=True)

    async def delivered(
        self, count: int, *, within: float = 60, declare: bool = True
    ) -> list[AbstractIncomingMessage]:
        """Take so many messages off the queue, without a consumer."""
        messages: list[AbstractIncomingMessage] = []
        async with self.broker(declare=declare) as channel, asyncio.timeout(within):
            await channel.set_qos(prefetch_count=count)
            queue = await channel.get_queue(QUEUE, ensure=False)
            async with queue.iterator() as arriving:
                async for message in arriving:
                    await message.ack()
                    messages.append(message)
                    if len(messages) == count:
                        break
        return messages

    async def everything_delivered(self) -> list[AbstractIncomingMessage]:
        """Take all that is in the queue now."""
        async with self.broker() as channel:
            queue = await channel.declare_queue(QUEUE, passive=True)
            count = queue.declaration_result.message_count
        return await self.delivered(count or 0)


@asynccontextmanager
async def running(*parts: BackgroundService) -> AsyncIterator[asyncio.Event]:
    """Run relays and consumers for the length of the block, then stop them in good order."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(part.run(stop)) for part in parts]
    try:
        yield stop
    finally:
        stop.set()
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)


@asynccontextmanager
async def open_world(admin: str, broker_url: str) -> AsyncIterator[World]:
    """A world in a database of its own, beside the one that `admin` names."""
    with filled_database(admin, install) as url:
        async with world_in(url, broker_url) as world:
            yield world


@asynccontextmanager
async def world_in(url: str, broker_url: str) -> AsyncIterator[World]:
    """A world in a database that has the library's tables."""
    engine = create_async_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    async with Notifier(url) as notifier:
        yield World(url, broker_url, engine, Work(engine, Outbox(SOURCE), notifier))
    await engine.dispose()


def install(url: str) -> None:
    """Create all tables of the library, and one that the tests' handlers write to."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        schema.create_outbox(connection)
        schema.create_inbox(connection)
        schema.create_jobs(connection)
        connection.exec_driver_sql(
            "CREATE TABLE effects (id serial, aggregate_id text, sequence bigint)"
        )
    engine.dispose()

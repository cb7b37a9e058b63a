"""Two databases and a broker as an operator meets them: a producer's and a consumer's."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from databases import fresh_database
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from typer.testing import CliRunner

from outbox import Envelope, Notifier, Outbox, UnitOfWork, Work, schema
from outbox.cli.app import app
from outbox_world import SOURCE, World


def management_url() -> str:
    return os.environ["TEST_RABBITMQ_MANAGEMENT_URL"]


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit status."""

    status: int
    out: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Pair:
    """A producer and a consumer, each with a database of its own."""

    producer: World
    consumer: World

    async def say(self, *words: str, answer: str | None = None, status: int = 0) -> Said:
        """Run a command against the producer's database, as a person would."""
        environment = {
            "DATABASE_URL": self.producer.database_url,
            "CONSUMER_DATABASE_URL": self.consumer.database_url,
            "RABBITMQ_URL": self.producer.broker_url,
            "RABBITMQ_MANAGEMENT_URL": management_url(),
        }
        run = await asyncio.to_thread(
            CliRunner().invoke, app, words, input=answer, env=environment, catch_exceptions=False
        )
        assert run.exit_code == status, run.output
        return Said(run.exit_code, run.stdout)

    async def at_consumer(self, *words: str, answer: str | None = None, status: int = 0) -> Said:
        url = self.consumer.database_url
        return await self.say(*words, "--database-url", url, answer=answer, status=status)


@asynccontextmanager
async def open_pair(broker_url: str) -> AsyncIterator[Pair]:
    template = urlsplit(await asyncio.to_thread(_template)).path.removeprefix("/")
    async with AsyncExitStack() as stack:
        worlds = []
        for _ in range(2):
            admin = os.environ["TEST_POSTGRES_URL"]
            url = stack.enter_context(fresh_database(admin, template=template))
            worlds.append(await stack.enter_async_context(_world(url, broker_url)))
        yield Pair(*worlds)


@asynccontextmanager
async def _world(url: str, broker_url: str) -> AsyncIterator[World]:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    async with Notifier(url) as notifier:
        yield World(url, broker_url, engine, Work(engine, Outbox(SOURCE), notifier))
    await engine.dispose()


@cache
def _template() -> str:
    """Made once: to copy a database is quicker than to create its tables again."""
    stack = ExitStack()
    atexit.register(stack.close)
    url = stack.enter_context(fresh_database(os.environ["TEST_POSTGRES_URL"]))
    _install(url)
    return url


def _install(url: str) -> None:
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        schema.create_outbox(connection)
        schema.install_inbox(connection)
        connection.exec_driver_sql(
            "CREATE TABLE effects (id serial, aggregate_id text, sequence bigint)"
        )
    engine.dispose()


async def record(unit: UnitOfWork, event: Envelope) -> None:
    await unit.connection.exec_driver_sql(
        "INSERT INTO effects (aggregate_id, sequence) VALUES (%s, %s)",
        (event.stream.aggregate_id, event.sequence),
    )


async def effects(world: World) -> dict[object, list[object]]:
    """Sequences by aggregate, in the order of their effects."""
    found: dict[object, list[object]] = {}
    for aggregate, sequence in await world.rows(
        "SELECT aggregate_id, sequence FROM effects ORDER BY id"
    ):
        found.setdefault(aggregate, []).append(sequence)
    return found

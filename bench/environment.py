"""A fresh database and a fresh vhost for each measurement, so that none affects the next."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import uuid4

import aio_pika
import httpx
import psycopg
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from bench.stack import Stack
from outbox import Subscription, Topology, schema

SOURCE, EXCHANGE, QUEUE = "bench", "bench", "bench.orders"

# `processed_messages` is the textbook consumer's inbox, `effects` is what handlers write, and the
# row "transaction" inserts into `orders` and `users`.
_OWN_TABLES = """
CREATE TABLE processed_messages (message_id text PRIMARY KEY, at timestamptz DEFAULT now());
CREATE TABLE effects (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, aggregate_id text,
                      sequence bigint, at timestamptz DEFAULT clock_timestamp());
CREATE TABLE orders (id uuid PRIMARY KEY, user_id text NOT NULL, amount numeric(12, 2) NOT NULL,
                     status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE users (id int PRIMARY KEY, orders bigint NOT NULL DEFAULT 0);
INSERT INTO users (id) SELECT generate_series(1, 1000);
"""


SUBSCRIPTION = Subscription(EXCHANGE, QUEUE, SOURCE, ("order",))
TOPOLOGY = Topology([EXCHANGE], [SUBSCRIPTION])
AUDIT_QUEUE = "audit"
AUDITED = Topology([EXCHANGE], [SUBSCRIPTION], {AUDIT_QUEUE: timedelta(days=7)})
"""The same with a stream queue that takes everything."""


@dataclass(frozen=True)
class Environment:
    """The database and the vhost of one measurement."""

    database_url: str
    broker_url: str
    audited: bool = False

    @property
    def topology(self) -> Topology:
        """With the stream queue if the environment has one."""
        return AUDITED if self.audited else TOPOLOGY

    @property
    def variables(self) -> dict[str, str]:
        """For the processes under measurement."""
        return {
            "BENCH_DATABASE_URL": self.database_url,
            "BENCH_BROKER_URL": self.broker_url,
            "BENCH_AUDITED": "yes" if self.audited else "",
        }

    def engine(self) -> AsyncEngine:
        return create_async_engine(_with_driver(self.database_url))

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection in autocommit."""
        return psycopg.connect(self.database_url, autocommit=True)


@asynccontextmanager
async def fresh_environment(stack: Stack, *, audited: bool = False) -> AsyncIterator[Environment]:
    """Both are removed after the block. If `audited`, a stream queue gets every event too."""
    with _database(stack) as database_url, _vhost(stack) as broker_url:
        yield await prepared(database_url, broker_url, audited=audited)


async def prepared(database_url: str, broker_url: str, *, audited: bool = False) -> Environment:
    """Put tables and topology into an empty database and an empty vhost."""
    _install(database_url)
    async with await aio_pika.connect(broker_url) as connection:
        environment = Environment(database_url, broker_url, audited)
        await environment.topology.ensure(connection)
    return environment


@contextmanager
def _database(stack: Stack) -> Iterator[str]:
    name = f"bench_{uuid4().hex[:12]}"
    with psycopg.connect(stack.postgres_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(stack.postgres_url)._replace(path=f"/{name}"))
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@contextmanager
def _vhost(stack: Stack) -> Iterator[str]:
    base, name = urlsplit(stack.rabbitmq_url), f"bench-{uuid4().hex[:12]}"
    vhost = f"/api/vhosts/{quote(name, safe='')}"
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    with httpx.Client(base_url=stack.management_url, timeout=60) as management:
        management.put(vhost).raise_for_status()
        management.put(f"/api/permissions/{name}/{base.username}", json=rights).raise_for_status()
        try:
            yield urlunsplit(base._replace(path=f"/{name}"))
        finally:
            management.delete(vhost).raise_for_status()


def _install(url: str) -> None:
    engine = create_engine(_with_driver(url))
    with engine.begin() as connection:
        schema.create_outbox(connection)
        schema.create_inbox(connection)
        connection.exec_driver_sql(_OWN_TABLES)
    engine.dispose()


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")

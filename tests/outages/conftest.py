"""A PostgreSQL and a RabbitMQ that only these tests use, because they make them suffer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from databases import fresh_database
from sqlalchemy.ext.asyncio import create_async_engine

from devstack.infrastructure import Wanted
from devstack.rabbitmq import RabbitMQ
from devstack.system import CHECKOUT, Layout, System
from outbox import Notifier, Outbox, Work
from outbox_world import SOURCE, World, install


@pytest.fixture(scope="session")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    layout = Layout(CHECKOUT, tmp_path_factory.mktemp("outages") / "system")
    wanted = Wanted(postgres=True, rabbitmq=True, redis=False)
    with System(layout, with_services=False, durable=False, wanted=wanted) as system:
        yield system


@pytest.fixture
def rabbitmq(victim: System) -> RabbitMQ:
    assert victim.infrastructure.rabbitmq
    return victim.infrastructure.rabbitmq


@pytest.fixture
def broker_url(victim: System, rabbitmq: RabbitMQ) -> Iterator[str]:
    """A virtual host with no queue yet."""
    rabbitmq.control("add_vhost", "outage")
    rabbitmq.control("set_permissions", "-p", "outage", "admin", ".*", ".*", ".*")
    yield victim.admin_rabbitmq_url.replace("%2F", "outage")
    rabbitmq.control("delete_vhost", "outage")


@pytest.fixture
def database_url(victim: System) -> Iterator[str]:
    with fresh_database(victim.admin_database_url) as url:
        yield url


@pytest.fixture
async def world(database_url: str, broker_url: str) -> AsyncIterator[World]:
    install(database_url)
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    async with Notifier(database_url) as notifier:
        yield World(database_url, broker_url, engine, Work(engine, Outbox(SOURCE), notifier))
    await engine.dispose()

"""service-orders on a migrated database of its own, without a server and without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

import httpx
import pytest
from prometheus_client import CollectorRegistry

from kit.servers import addresses
from kit.servers.databases import filled_database
from kit.services.external_systems import ExternalWorld
from kit.services.service import Service
from outbox import open_work
from service_orders import bootstrap
from service_orders.domains import DOMAINS
from service_orders.metadata import outbox
from service_orders.waiting import SETTLED
from servicekit.database.engine import create_engine
from servicekit.database.migrations import upgrade
from servicekit.http.long_polling import Waiters
from servicekit.observe.metrics import HttpMetrics
from servicekit.process.urls import PostgresUrl
from servicekit.service.domain import queues_of

PATIENT = 5.0
"""Seconds for an external system, on a machine that does much else."""


@pytest.fixture
def migrated() -> Iterator[PostgresUrl]:
    """A database at head."""
    with filled_database(addresses.postgres(), _migrate) as url:
        yield PostgresUrl(url)


def _migrate(url: str) -> None:
    upgrade(PostgresUrl(url), bootstrap.SERVICE.ini, variable="DATABASE_URL_ORDERS")


@pytest.fixture
async def external() -> ExternalWorld:
    """The external systems of rentals, with the configs of the first moment."""
    world = ExternalWorld(timeout=PATIENT)
    assert await world.externals.refresh_rules()
    return world


@pytest.fixture
async def service(migrated: PostgresUrl, external: ExternalWorld) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        engine = create_engine(migrated, application_name="test")
        work = await stack.enter_async_context(open_work(engine, migrated, outbox))
        waiters = await stack.enter_async_context(Waiters(migrated, SETTLED, stop=asyncio.Event()))
        await waiters.listening.wait()
        dependencies = bootstrap.build_dependencies(work, waiters, external.offer_issuer())
        app = bootstrap.build_app(dependencies, metrics=HttpMetrics(CollectorRegistry()))
        transport = httpx.ASGITransport(app)
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://orders")
        )
        yield Service(http, work, migrated, queues_of(DOMAINS))

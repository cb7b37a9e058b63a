"""service-orders on a migrated database of its own, without a server and without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import httpx
import pytest
from prometheus_client import CollectorRegistry
from served import Service

from outbox import open_work
from service_orders import bootstrap
from service_orders.metadata import outbox
from service_orders.waiting import SETTLED
from servicekit.database import create_engine
from servicekit.metrics import HttpMetrics
from servicekit.migrations import upgrade
from servicekit.urls import PostgresUrl
from servicekit.waiting import Waiters


@pytest.fixture
def migrated(database_url: str) -> PostgresUrl:
    """A database at head."""
    url = PostgresUrl(database_url)
    upgrade(url, bootstrap.SERVICE.ini, variable="DATABASE_URL_ORDERS")
    return url


@pytest.fixture
async def service(migrated: PostgresUrl) -> AsyncIterator[Service]:
    async with AsyncExitStack() as stack:
        engine = create_engine(migrated, application_name="test")
        work = await stack.enter_async_context(open_work(engine, migrated, outbox))
        waiters = await stack.enter_async_context(Waiters(migrated, SETTLED, stop=asyncio.Event()))
        await waiters.listening.wait()
        transport = httpx.ASGITransport(
            bootstrap.build_app(work, waiters, metrics=HttpMetrics(CollectorRegistry()))
        )
        http = await stack.enter_async_context(
            httpx.AsyncClient(transport=transport, base_url="http://orders")
        )
        yield Service(http, work, migrated)

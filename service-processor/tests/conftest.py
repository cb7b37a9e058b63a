"""service-processor on a migrated database of its own, without a server and without a broker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
from prometheus_client import CollectorRegistry

from kit.servers import addresses
from kit.servers.databases import filled_database
from kit.services.service import Service
from outbox import Work, open_work
from service_processor import bootstrap
from service_processor.domains import domains
from service_processor.metadata import outbox
from service_processor.settings import Settings
from servicekit.database.engine import create_engine
from servicekit.database.migrations import upgrade
from servicekit.observe.metrics import HttpMetrics
from servicekit.process.urls import PostgresUrl
from servicekit.service.domain import queues_of

NO_BROKER = "amqp://nobody:nothing@127.0.0.1:1/"


@pytest.fixture
def migrated() -> Iterator[PostgresUrl]:
    """A database at head."""
    with filled_database(addresses.postgres(), _migrate) as url:
        yield PostgresUrl(url)


def _migrate(url: str) -> None:
    upgrade(PostgresUrl(url), bootstrap.SERVICE.ini, variable="DATABASE_URL_PROCESSOR")


@pytest.fixture
async def work(migrated: PostgresUrl) -> AsyncIterator[Work]:
    engine = create_engine(migrated, application_name="test")
    async with open_work(engine, migrated, outbox) as work:
        yield work


@pytest.fixture
async def service(work: Work, migrated: PostgresUrl) -> AsyncIterator[Service]:
    variables = {"DATABASE_URL_PROCESSOR": str(migrated), "rabbitmq_url": NO_BROKER}
    settings = Settings.model_validate(variables)
    dependencies = bootstrap.build_dependencies(settings, work)
    app = bootstrap.build_app(settings, dependencies, metrics=HttpMetrics(CollectorRegistry()))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://processor/api/v1") as http:
        yield Service(http, work, migrated, queues_of(domains(settings)))

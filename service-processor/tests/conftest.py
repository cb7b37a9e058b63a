"""service-processor's database, migrated."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from outbox import Work, open_work
from service_processor import bootstrap
from service_processor.metadata import outbox
from servicekit.database import create_engine
from servicekit.migrations import upgrade
from servicekit.urls import PostgresUrl


@pytest.fixture
def migrated(database_url: str) -> PostgresUrl:
    """A database at head."""
    url = PostgresUrl(database_url)
    upgrade(url, bootstrap.SERVICE.ini, variable="DATABASE_URL_PROCESSOR")
    return url


@pytest.fixture
async def work(migrated: PostgresUrl) -> AsyncIterator[Work]:
    engine = create_engine(migrated, application_name="test")
    async with open_work(engine, migrated, outbox) as work:
        yield work

"""service-processor's database, migrated."""

from __future__ import annotations

import pytest

from service_processor import bootstrap
from servicekit.migrations import upgrade
from servicekit.urls import PostgresUrl


@pytest.fixture
def migrated(database_url: str) -> PostgresUrl:
    """A database at head."""
    url = PostgresUrl(database_url)
    upgrade(url, bootstrap.SERVICE.ini, variable="DATABASE_URL_PROCESSOR")
    return url

"""A database that is another service's is refused, not taken for one that is ahead."""

from __future__ import annotations

import asyncio

import pytest

from service_orders import bootstrap as orders
from service_processor import bootstrap as processor
from servicekit.database.migrations import ensure_current, upgrade
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import PostgresUrl


async def test_service_orders_refuses_the_database_of_service_processor(
    migrated: PostgresUrl,
) -> None:
    variable, ini = orders.SERVICE.database_variable, orders.SERVICE.ini
    for start in (
        asyncio.to_thread(upgrade, migrated, ini, variable=variable),
        ensure_current(migrated, ini, variable=variable, command="make migrate-orders"),
    ):
        with pytest.raises(StartupProblem, match=r"processor_\d{4}.*orders_\d{4}") as raised:
            await start
        assert "\n" not in str(raised.value)
        assert variable in str(raised.value)
    assert processor.SERVICE.database_variable != variable

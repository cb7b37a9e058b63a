"""The fixture that opens the small world of `outbox_world`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from outbox import Notifier, Outbox, Work
from outbox_world import SOURCE, World, install


@pytest.fixture
async def world(database_url: str, broker_url: str) -> AsyncIterator[World]:
    install(database_url)
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    async with Notifier(database_url) as notifier:
        yield World(database_url, broker_url, engine, Work(engine, Outbox(SOURCE), notifier))
    await engine.dispose()

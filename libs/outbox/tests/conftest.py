"""The fixture that opens the small world of `outbox_world`."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from kit.outbox.world import World, open_world
from kit.servers import addresses
from outbox.outages import OUTAGES


@pytest.fixture
async def world(broker_url: str) -> AsyncIterator[World]:
    async with open_world(addresses.postgres(), broker_url) as world:
        yield world


@pytest.fixture(autouse=True)
def _no_outage_was_said() -> None:
    """What one test has lost is news again in the next."""
    OUTAGES.forget()

"""`outbox lanes` against real databases."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kit.outbox.operator import Pair, open_pair
from kit.outbox.world import running
from kit.waiting import eventually


@pytest.fixture
async def pair(broker_url: str) -> AsyncIterator[Pair]:
    async with open_pair(broker_url) as opened:
        yield opened


async def test_lanes_names_each_owner_and_the_lanes_without_one(pair: Pair) -> None:
    unowned = (await pair.say("lanes", "--json", status=1)).json
    assert unowned["unowned"] == list(range(16))
    relays = pair.producer.relay(), pair.producer.relay()
    async with running(*relays):
        await eventually(lambda: own(relays, 8))
        found = (await pair.say("lanes", "--json")).json
    assert [len(relay["lanes"]) for relay in found["relays"]] == [8, 8]
    assert found["unowned"] == []


async def own(relays: tuple[Any, ...], count: int) -> bool:
    return all(len(relay.lanes) == count for relay in relays)

"""A broker that says no is told apart from one that is away."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import httpx
import pytest

from kit.outbox.deliveries import record
from kit.outbox.world import World
from kit.servers import addresses
from outbox.errors import BrokerRefused
from outbox.losses import BROKER_LOST
from outbox.rabbitmq.connection import connect


async def test_a_user_or_virtual_host_that_is_refused_needs_a_person(broker_url: str) -> None:
    place = urlsplit(broker_url)
    at = f"{place.hostname}:{place.port}"
    with pytest.raises(BrokerRefused, match="may not log in"):
        await connect(f"amqp://nobody:wrong@{at}{place.path}", "test")
    with pytest.raises(BrokerRefused, match="no virtual host 'nosuch'"):
        await connect(broker_url.replace(place.path, "/nosuch"), "test")


async def test_a_consumer_whose_virtual_host_is_gone_ends_and_says_why(world: World) -> None:
    world.broker_url = world.broker_url.replace(urlsplit(world.broker_url).path, "/nosuch")
    with pytest.raises(BrokerRefused):
        async with asyncio.timeout(60):
            await world.consumer(record).run(asyncio.Event())


async def test_a_limit_that_is_reached_passes(broker_url: str) -> None:
    management = addresses.rabbitmq_management()
    limit = f"{management}/api/vhost-limits{urlsplit(broker_url).path}/max-connections"
    async with httpx.AsyncClient() as client:
        (await client.put(limit, json={"value": 0})).raise_for_status()
        with pytest.raises(BROKER_LOST):
            await connect(broker_url, "test")
        (await client.delete(limit)).raise_for_status()
    await (await connect(broker_url, "test")).close()

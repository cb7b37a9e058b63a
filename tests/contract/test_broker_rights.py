"""The rights that both services have at the broker suffice to begin with, and go little further."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest
from aio_pika import Message
from aiormq.exceptions import ChannelAccessRefused

from contracts import AUDIT, AUDIT_KEPT, EXCHANGES, SUBSCRIPTIONS
from devstack import rabbitmq
from outbox import Topology
from outbox.broker import connect

TOPOLOGY = Topology([exchange.name for exchange in EXCHANGES], SUBSCRIPTIONS, {AUDIT: AUDIT_KEPT})
DEPLOYED = Path(__file__).parents[2] / "deploy/secrets/rabbitmq_definitions.json"
OTHER = {"orders": "processor", "processor": "orders"}

Login = Callable[[str], str]


def rights() -> dict[str, dict[str, str]]:
    """By user, as deployed in containers."""
    permissions = json.loads(DEPLOYED.read_text())["permissions"]
    return {one["user"]: {k: one[k] for k in ("configure", "write", "read")} for one in permissions}


@pytest.fixture
def login(broker_url: str) -> Iterator[Login]:
    """The URL for one of the services' users, who exist for the length of the test."""
    url, suffix = urlsplit(broker_url), uuid4().hex[:8]
    with httpx.Client(base_url=os.environ["TEST_RABBITMQ_MANAGEMENT_URL"], timeout=60) as api:
        for user in OTHER:
            name = f"{user}-{suffix}"
            api.put(f"/api/users/{name}", json={"password": "x", "tags": ""}).raise_for_status()
            place = f"/api/permissions{url.path}/{name}"
            api.put(place, json=rights()[user]).raise_for_status()
        try:
            place = f"{url.hostname}:{url.port}"
            yield lambda user: urlunsplit(url._replace(netloc=f"{user}-{suffix}:x@{place}"))
        finally:
            for user in OTHER:
                api.delete(f"/api/users/{user}-{suffix}").raise_for_status()


def test_the_rights_are_the_same_with_and_without_docker() -> None:
    definitions = json.loads(json.dumps(rabbitmq.definitions()))
    assert definitions["permissions"] == json.loads(DEPLOYED.read_text())["permissions"]


@pytest.mark.parametrize("first", OTHER)
async def test_each_service_may_be_the_first_on_an_empty_broker(login: Login, first: str) -> None:
    for user in (first, OTHER[first]):
        async with await connect(login(user), "test") as connection:
            await TOPOLOGY.ensure(connection)


@pytest.mark.parametrize("user", OTHER)
async def test_nobody_reads_the_dead_letters_of_the_other(login: Login, user: str) -> None:
    async with await connect(login(user), "test") as connection:
        await TOPOLOGY.ensure(connection)
        for queue in TOPOLOGY.queues:
            channel = await connection.channel()
            dead = await channel.get_queue(f"{queue}.dead", ensure=False)
            if queue.startswith(f"{user}."):
                assert await dead.get(fail=False) is None
                continue
            with pytest.raises(ChannelAccessRefused):
                await dead.get(fail=False)


async def test_only_the_processor_reads_the_audit(login: Login) -> None:
    async with await connect(login("orders"), "test") as connection:
        await TOPOLOGY.ensure(connection)
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        audit = await channel.get_queue(AUDIT, ensure=False)

        async def never(_: object) -> None:
            raise AssertionError

        with pytest.raises(ChannelAccessRefused):
            await audit.consume(never)


@pytest.mark.parametrize("user", OTHER)
async def test_nobody_publishes_for_the_other_or_past_the_exchanges(
    login: Login, user: str
) -> None:
    async with await connect(login(user), "test") as connection:
        await TOPOLOGY.ensure(connection)
        for exchange in (OTHER[user], ""):
            channel = await connection.channel()
            where = await channel.get_exchange(exchange, ensure=False) if exchange else None
            with pytest.raises(ChannelAccessRefused):
                await (where or channel.default_exchange).publish(
                    Message(b"{}"), f"{OTHER[user]}.orders"
                )

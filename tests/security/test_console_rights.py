"""The console's user at the broker, with exactly the rights that it has when it is deployed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest
from aio_pika import Message
from aio_pika.exceptions import AMQPError

from devstack.host.layout import CHECKOUT
from kit.outbox.world import QUEUE, open_world
from kit.servers import addresses
from outbox.operations import Actor, open_operator
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.topology import dead_letters_of

DEPLOYED = json.loads((CHECKOUT / "deploy/secrets/rabbitmq_definitions.json").read_text())


@pytest.fixture
def of_console(broker_url: str) -> Iterator[str]:
    """A URL with a login like the console's; the user is gone after the test."""
    [user] = [one for one in DEPLOYED["users"] if one["name"] == "console"]
    [rights] = [one for one in DEPLOYED["permissions"] if one["user"] == "console"]
    url, name = urlsplit(broker_url), f"console-{uuid4().hex[:8]}"
    with httpx.Client(base_url=addresses.rabbitmq_management(), timeout=60) as api:
        given = {"password": "x", "tags": ",".join(user["tags"])}
        api.put(f"/api/users/{name}", json=given).raise_for_status()
        granted = {kind: rights[kind] for kind in ("configure", "write", "read")}
        api.put(f"/api/permissions{url.path}/{name}", json=granted).raise_for_status()
        yield urlunsplit(url._replace(netloc=f"{name}:x@{url.hostname}:{url.port}"))
        api.delete(f"/api/users/{name}").raise_for_status()


async def test_the_console_moves_dead_letters_of_every_publisher_back(
    broker_url: str, of_console: str
) -> None:
    publisher = urlsplit(broker_url).username
    async with open_world(addresses.postgres(), broker_url) as world:
        async with world.broker() as channel:
            message = Message(b"not json", message_id="1", user_id=publisher)
            await channel.default_exchange.publish(message, dead_letters_of(QUEUE))
        actor = Actor("ann", "console")
        async with open_operator(world.database_url, by=actor, broker_url=of_console) as ann:
            seen = await ann.broker.preview_dead_letters(QUEUE)
            assert await ann.broker.move_dead_letters(QUEUE, seen=seen) == 1
        [moved] = await world.delivered(1)
    assert moved.user_id == publisher


async def test_the_console_reads_no_queue_and_declares_nothing(
    broker_url: str, of_console: str
) -> None:
    async with open_world(addresses.postgres(), broker_url) as world, world.broker():
        async with await connect(of_console, "test") as connection:
            channel = await connection.channel()
            with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
                await (await channel.get_queue(QUEUE, ensure=False)).get()
        async with await connect(of_console, "test") as connection:
            channel = await connection.channel()
            with pytest.raises(AMQPError, match="ACCESS_REFUSED"):
                await channel.declare_queue("made")

"""The rights that both services have at the broker suffice to begin with, and go little further."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aio_pika import ExchangeType, Message
from aiormq.exceptions import ChannelAccessRefused

from contracts import AUDIT, AUDIT_KEPT, EXCHANGES, SUBSCRIPTIONS
from devstack.native import rabbitmq
from outbox import Topology
from outbox.rabbitmq.connection import connect
from outbox.rabbitmq.declarer import Declarer
from outbox.rabbitmq.topology import unrouted_of

TOPOLOGY = Topology([exchange.name for exchange in EXCHANGES], SUBSCRIPTIONS, {AUDIT: AUDIT_KEPT})
DEPLOYED = Path(__file__).parents[2] / "deploy/secrets/rabbitmq_definitions.json"
OTHER = {"orders": "processor", "processor": "orders"}

Login = Callable[[str], str]


def test_the_rights_are_the_same_with_and_without_docker() -> None:
    definitions = json.loads(json.dumps(rabbitmq.definitions()))
    assert definitions["permissions"] == json.loads(DEPLOYED.read_text())["permissions"]


@pytest.mark.parametrize("first", OTHER)
async def test_each_service_may_be_the_first_on_an_empty_broker(login: Login, first: str) -> None:
    for user in (first, OTHER[first]):
        async with await connect(login(user), "test") as connection:
            await TOPOLOGY.ensure(connection, publishes_to=user)


@pytest.mark.parametrize("user", OTHER)
async def test_each_service_may_replace_its_exchange(login: Login, user: str) -> None:
    async with await connect(login(user), "test") as connection:
        await (await connection.channel()).declare_exchange(user, ExchangeType.TOPIC, durable=True)
        parts = TOPOLOGY.parts([user])
        declarer = Declarer(
            connection, parts, needed=[name for name, _ in parts], confirms=True, own=user
        )
        await declarer.declare()


@pytest.mark.parametrize("user", OTHER)
async def test_nobody_reads_the_dead_letters_of_the_other(login: Login, user: str) -> None:
    async with await connect(login(user), "test") as connection:
        await TOPOLOGY.ensure(connection, publishes_to=user)
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
        await TOPOLOGY.ensure(connection, publishes_to="orders")
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        audit = await channel.get_queue(AUDIT, ensure=False)

        async def never(_: object) -> None:
            raise AssertionError

        with pytest.raises(ChannelAccessRefused):
            await audit.consume(never)


@pytest.mark.parametrize("user", OTHER)
async def test_nobody_reads_the_unrouted_events_of_the_other(login: Login, user: str) -> None:
    for publisher in OTHER:
        async with await connect(login(publisher), "test") as connection:
            await TOPOLOGY.ensure(connection, publishes_to=publisher)
    async with await connect(login(user), "test") as connection:
        channel = await connection.channel()
        own = await channel.get_queue(unrouted_of(user), ensure=False)
        assert await own.get(fail=False) is None
        other = await channel.get_queue(unrouted_of(OTHER[user]), ensure=False)
        with pytest.raises(ChannelAccessRefused):
            await other.get(fail=False)


@pytest.mark.parametrize("user", OTHER)
async def test_nobody_publishes_for_the_other_or_past_the_exchanges(
    login: Login, user: str
) -> None:
    async with await connect(login(user), "test") as connection:
        await TOPOLOGY.ensure(connection, publishes_to=user)
        for exchange in (OTHER[user], f"{OTHER[user]}.published", ""):
            channel = await connection.channel()
            where = await channel.get_exchange(exchange, ensure=False) if exchange else None
            with pytest.raises(ChannelAccessRefused):
                await (where or channel.default_exchange).publish(
                    Message(b"{}"), f"{OTHER[user]}.orders"
                )

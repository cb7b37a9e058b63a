"""The publisher's outcomes on a broker that is out of memory, frozen, killed or picky."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection

from devstack.native.rabbitmq import RabbitMQ
from devstack.native.system import System
from kit.outbox.outbox_rows import entry
from kit.servers.alarms import frozen, memory_alarm, messages_up_to
from outbox.publisher.open import open_publisher
from outbox.publisher.publisher import Flight, Outcome, Publisher
from outbox.rabbitmq.connection import connect

ACKED, TIMED_OUT, CLOSED = Outcome.ACKED, Outcome.TIMED_OUT, Outcome.CLOSED
PATIENCE = 4.0


@pytest.fixture
async def connection(broker_url: str) -> AsyncIterator[AbstractConnection]:
    connection = await connect(broker_url, "distress")
    channel = await connection.channel()
    await channel.declare_exchange("shop", aio_pika.ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue("kitchen", durable=True)
    await queue.bind("shop", "order.#")
    yield connection
    await connection.close()


@pytest.fixture(params=["frames", "exchange"])
async def publisher(request: pytest.FixtureRequest, connection: AbstractConnection) -> Publisher:
    fast = request.param == "frames"
    return await open_publisher(connection, "shop", patience=PATIENCE, frames=fast)


async def test_a_blocked_broker_stops_the_clock(publisher: Publisher, rabbitmq: RabbitMQ) -> None:
    with memory_alarm(rabbitmq):
        flight = await publisher.send([entry(n) for n in range(10)])
        waiting = asyncio.create_task(_outcomes(flight))
        done, _ = await asyncio.wait({waiting}, timeout=2 * PATIENCE)
        assert not done
    assert await asyncio.wait_for(waiting, 60) == [ACKED] * 10


async def _outcomes(flight: Flight) -> list[Outcome]:
    return await flight.outcomes()


async def test_a_silent_broker_means_timed_out(publisher: Publisher, victim: System) -> None:
    assert await (await publisher.send([entry(1)])).outcomes() == [ACKED]
    with frozen(victim):
        flight = await publisher.send([entry(n) for n in range(10)])
        assert await asyncio.wait_for(flight.outcomes(), 60) == [TIMED_OUT] * 10


@pytest.mark.parametrize("followers", [1, 40, 2000])
@pytest.mark.parametrize("frames", [True, False], ids=["frames", "exchange"])
async def test_an_event_that_the_broker_refuses_closes_the_channel_over_the_window(
    connection: AbstractConnection, rabbitmq: RabbitMQ, frames: bool, followers: int
) -> None:
    """Also where the broker has closed it long before the last was written."""
    with messages_up_to(1000, rabbitmq):
        small = await open_publisher(connection, "shop", patience=PATIENCE, frames=frames)
        entries = [entry(n) for n in range(3, followers + 3)]
        flight = await small.send([entry(1), entry(2, payload=b"x" * 2000), *entries])
        outcomes = await asyncio.wait_for(flight.outcomes(), 60)
    assert set(outcomes[1:]) == {CLOSED}
    assert outcomes[0] in (ACKED, CLOSED), "what came before may have its confirm already"


async def test_a_broker_killed_in_mid_window_leaves_the_rest_unanswered(
    publisher: Publisher, victim: System
) -> None:
    flights = [
        await publisher.send([entry(n, payload=b"x" * 10_000) for n in range(1000)])
        for _ in range(3)
    ]
    victim.kill("rabbitmq")
    outcomes = [outcome for flight in flights for outcome in await flight.outcomes()]
    assert set(outcomes) <= {ACKED, TIMED_OUT}
    assert outcomes[-1] is TIMED_OUT
    victim.start_process("rabbitmq")


async def test_a_connection_closed_by_force_leaves_the_rest_unanswered(
    publisher: Publisher, rabbitmq: RabbitMQ, broker_url: str
) -> None:
    vhost = urlsplit(broker_url).path[1:]
    flight = await publisher.send([entry(n, payload=b"x" * 100_000) for n in range(200)])
    await asyncio.to_thread(rabbitmq.control, "close_all_connections", "-p", vhost, "test")
    assert set(await asyncio.wait_for(flight.outcomes(), 60)) <= {ACKED, TIMED_OUT}
    later = await publisher.send([entry(1)])
    assert await asyncio.wait_for(later.outcomes(), 60) == [TIMED_OUT]

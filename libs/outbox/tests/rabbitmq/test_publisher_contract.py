"""What a publisher promises, for the fast one and the plain one, on a real broker.

The outcomes that need a broker in distress are in tests/outages.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractConnection

from kit.outbox.outbox_rows import entry
from outbox.log.row import OutboxRow
from outbox.publisher import open
from outbox.publisher.aiormq_channel import UnexpectedInternals
from outbox.publisher.fast import FastPublisher
from outbox.publisher.open import open_publisher
from outbox.publisher.plain import PlainPublisher
from outbox.publisher.publisher import Outcome, Publisher
from outbox.rabbitmq.connection import connect

ACKED, RETURNED, NACKED = Outcome.ACKED, Outcome.RETURNED, Outcome.NACKED


@pytest.fixture
async def connection(broker_url: str) -> AsyncIterator[AbstractConnection]:
    async with await connect(broker_url, "contract") as connection:
        yield connection


@pytest.fixture
async def channel(connection: AbstractConnection) -> AbstractChannel:
    """With exchange `shop` and queue `kitchen`, which takes `order.#`."""
    channel = await connection.channel()
    await channel.declare_exchange("shop", aio_pika.ExchangeType.TOPIC, durable=True)
    queue = await channel.declare_queue(
        "kitchen", durable=True, arguments={"x-queue-type": "quorum"}
    )
    await queue.bind("shop", "order.#")
    return channel


@pytest.fixture(params=["frames", "exchange"])
async def publisher(
    request: pytest.FixtureRequest, connection: AbstractConnection, channel: AbstractChannel
) -> Publisher:
    fast = request.param == "frames"
    made = await open_publisher(connection, "shop", patience=5, frames=fast)
    assert isinstance(made, FastPublisher if fast else PlainPublisher)
    return made


async def publish(publisher: Publisher, *entries: OutboxRow) -> list[Outcome]:
    async with asyncio.timeout(20):
        return await (await publisher.send(entries)).outcomes()


async def bodies(channel: AbstractChannel, count: int) -> list[bytes]:
    queue = await channel.get_queue("kitchen", ensure=False)
    found: list[bytes] = []
    async with asyncio.timeout(20), queue.iterator(no_ack=True) as arriving:
        async for message in arriving:
            found.append(message.body)
            if len(found) == count:
                break
    return found


async def test_windows_in_flight_at_once_arrive_in_order(
    publisher: Publisher, channel: AbstractChannel
) -> None:
    events = [entry(n, payload=b"%d" % n) for n in range(900)]
    flights = [await publisher.send(events[n : n + 300]) for n in (0, 300, 600)]
    for flight in flights:
        assert await flight.outcomes() == [ACKED] * 300
    assert await bodies(channel, 900) == [event.payload for event in events]


async def test_an_empty_window_has_no_outcomes(publisher: Publisher) -> None:
    assert await publish(publisher) == []


async def test_each_event_of_a_window_has_its_own_outcome(publisher: Publisher) -> None:
    lost = entry(2, type=b"nowhere.x")
    outcomes = await publish(publisher, entry(1), lost, entry(3), entry(4, type=b"nowhere.y"))
    assert outcomes == [ACKED, RETURNED, ACKED, RETURNED]
    assert await publish(publisher, entry(5, type=b"nowhere.x")) == [RETURNED]


async def test_a_queue_that_is_full_and_rejects_makes_a_nack(
    publisher: Publisher, channel: AbstractChannel
) -> None:
    full = await channel.declare_queue(
        "full",
        durable=True,
        arguments={"x-max-length": 1, "x-overflow": "reject-publish"},
    )
    await full.bind("shop", "full.#")
    outcomes = [(await publish(publisher, entry(n, type=b"full.x")))[0] for n in range(4)]
    assert outcomes[0] is ACKED
    assert outcomes[-1] is NACKED


@pytest.mark.parametrize("size", [0, 1, 131_064, 131_072, 1_048_576])
async def test_a_body_of_any_size_arrives_whole(
    publisher: Publisher, channel: AbstractChannel, size: int
) -> None:
    body = bytes(n % 251 for n in range(size))
    assert await publish(publisher, entry(payload=body), entry(2)) == [ACKED, ACKED]
    assert (await bodies(channel, 2))[0] == body


async def test_an_event_that_fits_into_no_frame_is_refused_and_the_others_go(
    publisher: Publisher, channel: AbstractChannel
) -> None:
    bad = entry(2, correlation_id=b"x" * 300)
    assert await publish(publisher, entry(1), bad, entry(3)) == [ACKED, Outcome.REFUSED, ACKED]
    assert len(await bodies(channel, 2)) == 2


async def test_a_missing_exchange_leaves_everything_unanswered(
    publisher: Publisher, channel: AbstractChannel
) -> None:
    await channel.exchange_delete("shop")
    assert await publish(publisher, entry(1), entry(2)) == [Outcome.TIMED_OUT] * 2


async def test_events_sent_on_a_lost_connection_are_unanswered(
    publisher: Publisher, connection: AbstractConnection, channel: AbstractChannel
) -> None:
    assert await publish(publisher, entry(1)) == [ACKED]
    await connection.close()
    assert await publish(publisher, entry(2)) == [Outcome.TIMED_OUT]


async def test_both_publishers_write_the_same_properties(
    connection: AbstractConnection, channel: AbstractChannel
) -> None:
    event = entry(causation_id=b"cause", traceparent=b"00-aa-bb-01", aggregate_id="Ω".encode())
    for fast in (True, False):
        publisher = await open_publisher(connection, "shop", patience=5, frames=fast)
        assert await publish(publisher, event) == [ACKED]
    queue = await channel.get_queue("kitchen", ensure=False)
    first, second = [await queue.get(timeout=10) for _ in range(2)]
    assert first.properties == second.properties
    assert first.info() | {"delivery_tag": 0, "message_count": 0} == second.info() | {
        "delivery_tag": 0,
        "message_count": 0,
    }


async def test_unknown_internals_of_the_client_mean_the_plain_publisher_and_a_warning(
    connection: AbstractConnection,
    channel: AbstractChannel,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: object) -> None:
        raise UnexpectedInternals("a channel from another age")

    monkeypatch.setattr(open, "RawChannel", refuse)
    publisher = await open_publisher(connection, "shop", patience=5)
    assert isinstance(publisher, PlainPublisher)
    assert "a channel from another age" in caplog.text
    assert await publish(publisher, entry()) == [ACKED]

"""Deliveries a second through a consumer, against a textbook one in the same minute.

20,000 deliveries of 6,000 aggregates, a tenth of them duplicates, one inserted row each. The
textbook consumer takes one message, in one transaction notes its id, does its insert, commits,
and acks. Needs TEST_POSTGRES_URL, TEST_RABBITMQ_URL, TEST_RABBITMQ_MANAGEMENT_URL.
"""

from __future__ import annotations

import asyncio
import cProfile
import os
import pstats
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import aio_pika
import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from uuid_utils.compat import uuid7

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from bench_broker import virtual_host
from databases import fresh_database

from outbox import Consumer, Envelope, Notifier, Outbox, Topology, UnitOfWork, Work, handle_many
from outbox.envelope import Stream
from outbox.message import to_message
from outbox_world import EXCHANGE, QUEUE, SOURCE, Takes, install

DELIVERIES, DUPLICATES, STREAMS, ROUNDS = 20_000, 2_000, 6_000, 1
TOPOLOGY = Topology([EXCHANGE], [Takes()])
Consume = Callable[[str, str, asyncio.Event], Awaitable[None]]

INSERT = text("INSERT INTO effects (aggregate_id, sequence) VALUES (:id, :sequence)")
SEND = "INSERT INTO effects (aggregate_id, sequence) VALUES (%(id)s, %(sequence)s)"
MANY = (
    "INSERT INTO effects (aggregate_id, sequence) SELECT * FROM unnest(%(i)s::text[], %(s)s::int[])"
)


def events() -> list[Envelope]:
    """In an order that a relay could publish them in, each tenth again somewhat later."""
    now, last = datetime.now(UTC), [0] * STREAMS
    found: list[Envelope] = []
    for number in range(DELIVERIES - DUPLICATES):
        stream = number % STREAMS
        last[stream] += 1
        place = Stream(SOURCE, "order", f"order-{stream}")
        found.append(Envelope(uuid7(), place, last[stream], "order.happened", 1, now, b"{}", "c"))
    again = random.Random(1).sample(range(len(found)), DUPLICATES)
    for number in sorted(again, reverse=True):
        found.insert(min(number + 50, len(found)), found[number])
    return found


async def publish(broker_url: str, envelopes: Sequence[Envelope]) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        await TOPOLOGY.ensure(connection)
        channel = await connection.channel(publisher_confirms=True)
        exchange = await channel.get_exchange(EXCHANGE, ensure=False)
        for start in range(0, len(envelopes), 1000):
            chunk = envelopes[start : start + 1000]
            await asyncio.gather(*(exchange.publish(to_message(e), e.type) for e in chunk))


async def textbook(database_url: str, broker_url: str, stop: asyncio.Event) -> None:
    async with (
        await psycopg.AsyncConnection.connect(database_url) as database,
        await aio_pika.connect(broker_url) as connection,
    ):
        await database.execute("CREATE TABLE IF NOT EXISTS seen (id uuid PRIMARY KEY)")
        await database.commit()
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=500)
        queue = await channel.get_queue(QUEUE, ensure=False)

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            noted = await database.execute(
                "INSERT INTO seen VALUES (%s) ON CONFLICT DO NOTHING RETURNING 1",
                [message.message_id],
            )
            if await noted.fetchone():
                parameters = {
                    "id": message.headers["cloudEvents:subject"],
                    "sequence": message.headers["sequence"],
                }
                await database.execute(SEND, parameters)
            await database.commit()
            await message.ack()

        async with queue.iterator() as arriving:
            taking = asyncio.create_task(_each(arriving, take))
            await stop.wait()
            taking.cancel()
            await asyncio.gather(taking, return_exceptions=True)


async def _each(
    arriving: aio_pika.abc.AbstractQueueIterator,
    take: Callable[[aio_pika.abc.AbstractIncomingMessage], Awaitable[None]],
) -> None:
    async for message in arriving:
        await take(message)


async def by_sqlalchemy(unit: UnitOfWork, event: Envelope) -> None:
    row = {"id": event.stream.aggregate_id, "sequence": event.sequence}
    await unit.connection.execute(INSERT, row)


async def by_send(unit: UnitOfWork, event: Envelope) -> None:
    await unit.send(SEND, {"id": event.stream.aggregate_id, "sequence": event.sequence})


async def together(unit: UnitOfWork, events: Sequence[Envelope]) -> None:
    ids = [event.stream.aggregate_id for event in events]
    await unit.send(MANY, {"i": ids, "s": [event.sequence for event in events]})


def ours(handler: object) -> Consume:
    async def consume(database_url: str, broker_url: str, stop: asyncio.Event) -> None:
        engine = create_async_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
        async with Notifier(database_url) as notifier:
            await Consumer(
                queue=QUEUE,
                handlers={"order.happened": handler},  # type: ignore[dict-item]
                work=Work(engine, Outbox(SOURCE), notifier),
                broker_url=broker_url,
                topology=TOPOLOGY,
            ).run(stop)
        await engine.dispose()

    return consume


async def measure(consume: Consume, database_url: str, broker_url: str) -> tuple[float, float]:
    """Deliveries a second, and this process's CPU in µs for each, from first effect to last."""
    stop = asyncio.Event()
    running = asyncio.create_task(consume(database_url, broker_url, stop))
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as watch:
        while not await _count(watch):  # noqa: ASYNC110 the condition is in the database
            await asyncio.sleep(0.005)
        began, cpu = time.perf_counter(), time.process_time()
        while await _count(watch) < DELIVERIES - DUPLICATES:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        rate = DELIVERIES / (time.perf_counter() - began)
        cpu = (time.process_time() - cpu) / DELIVERIES * 1e6
    stop.set()
    await running
    return rate, cpu


async def _count(watch: psycopg.AsyncConnection[tuple[int]]) -> int:
    row = await (
        await watch.execute("SELECT last_value * is_called::int FROM effects_id_seq")
    ).fetchone()
    assert row is not None
    return row[0]


def run(
    consume: Consume, envelopes: Sequence[Envelope], profile: cProfile.Profile | None = None
) -> tuple[float, float]:
    with (
        fresh_database(os.environ["TEST_POSTGRES_URL"]) as database_url,
        virtual_host() as broker_url,
    ):
        install(database_url)
        asyncio.run(publish(broker_url, envelopes))
        if profile is not None:
            profile.enable()
        return asyncio.run(measure(consume, database_url, broker_url))


WAYS: dict[str, Consume] = {
    "textbook": textbook,
    "handle, SQLAlchemy": ours(by_sqlalchemy),
    "handle, unit.send": ours(by_send),
    "handle_many": ours(handle_many(together)),
}


def main() -> None:
    envelopes = events()
    if len(sys.argv) > 1:
        profile = cProfile.Profile()
        print(run(WAYS[sys.argv[1]], envelopes, profile))
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(45)
        return
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in WAYS}
    for _ in range(ROUNDS):
        for name, consume in WAYS.items():
            rates[name].append(run(consume, envelopes))
    base, _ = map(statistics.median, zip(*rates["textbook"], strict=True))
    for name, found in rates.items():
        rate, cpu = map(statistics.median, zip(*found, strict=True))
        print(
            f"{name:20} {rate:8,.0f} deliveries/s  {rate / base:5.1f} x textbook  {cpu:4.0f} µs CPU"
        )


if __name__ == "__main__":
    main()

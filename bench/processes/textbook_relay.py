"""The relay that one finds in tutorials: lock 100 rows, publish one by one, update, commit.

It publishes with confirms and `mandatory`, and the same messages, but a row lock and a
transaction stay open while the broker works. It polls every 100 ms.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from uuid import UUID

import aio_pika
import psycopg
from aio_pika.abc import AbstractExchange

from bench.environment import EXCHANGE
from bench.messages import as_message
from bench.processes.control_protocol import serve

POLL = 0.1
_NEXT = """
SELECT id, event_id, aggregate_id, sequence, type, created_at, payload::text FROM outbox
 WHERE published_at IS NULL ORDER BY id LIMIT 100 FOR UPDATE SKIP LOCKED
"""
# By the partition key as well: a table without partitions would not cost it more.
_DONE = "UPDATE outbox SET published_at = clock_timestamp() WHERE id = %s AND created_at = %s"

Database = psycopg.AsyncConnection[tuple[int, UUID, str, int, str, datetime, str]]


class TextbookRelay:
    """One loop, one transaction per hundred."""

    def __init__(self) -> None:
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        async with (
            await aio_pika.connect(os.environ["BENCH_BROKER_URL"]) as broker,
            await psycopg.AsyncConnection.connect(os.environ["BENCH_DATABASE_URL"]) as database,
        ):
            channel = await broker.channel(publisher_confirms=True, on_return_raises=True)
            exchange = await channel.get_exchange(EXCHANGE, ensure=False)
            self.running = True
            while not stop.is_set():
                if not await _relay_some(database, exchange):
                    await asyncio.sleep(POLL)


async def _relay_some(database: Database, exchange: AbstractExchange) -> int:
    async with database.transaction():
        rows = await (await database.execute(_NEXT)).fetchall()
        for id_, event_id, aggregate_id, sequence, type_, time, payload in rows:
            message = as_message(event_id, aggregate_id, sequence, time, payload.encode())
            await exchange.publish(message, type_, mandatory=True)
            await database.execute(_DONE, [id_, time])
    return len(rows)


def main() -> None:
    relay = TextbookRelay()
    serve(relay.run, ready=lambda: relay.running)


if __name__ == "__main__":
    main()

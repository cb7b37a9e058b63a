"""The consumer that one finds in tutorials: a table of processed messages, one ack per message.

Each message is one transaction on one psycopg connection: the message id is inserted, and unless
it was there the effect as well; then the commit, then the ack.
"""

from __future__ import annotations

import asyncio
import os

import aio_pika
import psycopg
from aio_pika.abc import AbstractIncomingMessage

from bench.environment import QUEUE
from bench.processes.control_protocol import serve

PREFETCH = 500
_PROCESSED = """
INSERT INTO processed_messages (message_id) VALUES (%s) ON CONFLICT DO NOTHING RETURNING message_id
"""
_EFFECT = "INSERT INTO effects (aggregate_id, sequence) VALUES (%s, %s)"


async def consume(stop: asyncio.Event) -> None:
    async with (
        await aio_pika.connect(os.environ["BENCH_BROKER_URL"]) as broker,
        await psycopg.AsyncConnection.connect(
            os.environ["BENCH_DATABASE_URL"], autocommit=True
        ) as database,
    ):
        channel = await broker.channel()
        await channel.set_qos(prefetch_count=PREFETCH)
        queue = await channel.get_queue(QUEUE, ensure=False)
        one_at_a_time = asyncio.Lock()

        async def take(message: AbstractIncomingMessage) -> None:
            async with one_at_a_time:
                await _apply(database, message)
                await message.ack()

        await queue.consume(take)
        await stop.wait()


async def _apply(
    database: psycopg.AsyncConnection[tuple[object, ...]], message: AbstractIncomingMessage
) -> None:
    async with database.transaction():
        cursor = await database.execute(_PROCESSED, [message.message_id])
        if await cursor.fetchone() is not None:
            headers = message.headers
            effect = [headers["cloudEvents:subject"], headers["sequence"]]
            await database.execute(_EFFECT, effect)


if __name__ == "__main__":
    serve(consume)

"""The consumer under measurement, with its default settings: `consumer HANDLER`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping

from sqlalchemy.ext.asyncio import create_async_engine

from bench.events import TYPE
from bench.place import QUEUE, SOURCE, TOPOLOGY
from bench.processes.answering import serve
from outbox import Consumer, Envelope, Handler, Outbox, UnitOfWork, open_work

_EFFECT = "INSERT INTO effects (aggregate_id, sequence) VALUES (%(id)s, %(sequence)s)"


async def handle(unit: UnitOfWork, envelope: Envelope) -> None:
    """One inserted row for each event."""
    effect = {"id": envelope.stream.aggregate_id, "sequence": envelope.sequence}
    await unit.connection.exec_driver_sql(_EFFECT, effect)


HANDLERS: Mapping[str, Handler] = {"handle": handle}
"""By name, as a row asks for them. A `handle_many` that inserts a batch goes here."""


async def consume(stop: asyncio.Event) -> None:
    database_url = os.environ["BENCH_DATABASE_URL"]
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    async with open_work(engine, database_url, Outbox(SOURCE)) as work:
        consumer = Consumer(
            queue=QUEUE,
            handlers={TYPE: HANDLERS[sys.argv[1]]},
            work=work,
            broker_url=os.environ["BENCH_BROKER_URL"],
            topology=TOPOLOGY,
        )
        await consumer.run(stop)


if __name__ == "__main__":
    serve(consume)

"""The consumer under measurement: `consumer HANDLER [NUMBER]`.

Its settings are the defaults, but for `BENCH_CONCURRENCY` workers if that is set.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence

import httpx
from sqlalchemy.ext.asyncio import create_async_engine

from bench.environment import QUEUE, SOURCE, TOPOLOGY
from bench.events import TYPE, number_of
from bench.processes.control_protocol import serve
from outbox import (
    Consumer,
    ConsumerSettings,
    Envelope,
    HandlersByType,
    Outbox,
    UnitOfWork,
    handle_many,
    open_work,
)

_WORKERS = os.environ.get("BENCH_CONCURRENCY")
_client = httpx.AsyncClient()
_EFFECT = "INSERT INTO effects (aggregate_id, sequence) VALUES (%(id)s, %(sequence)s)"


_EFFECTS = """
INSERT INTO effects (aggregate_id, sequence)
SELECT * FROM unnest(%(ids)s::text[], %(sequences)s::bigint[])
"""


async def through_sqlalchemy(unit: UnitOfWork, envelope: Envelope) -> None:
    """One inserted row for each event, and a round trip for each row."""
    await unit.connection.exec_driver_sql(_EFFECT, _row(envelope))


async def handle(unit: UnitOfWork, envelope: Envelope) -> None:
    """One inserted row for each event, as the library recommends for writing."""
    await unit.send(_EFFECT, _row(envelope))


async def together(unit: UnitOfWork, envelopes: Sequence[Envelope]) -> None:
    """All rows of a batch in one statement."""
    ids = [envelope.stream.aggregate_id for envelope in envelopes]
    sequences = [envelope.sequence for envelope in envelopes]
    await unit.send(_EFFECTS, {"ids": ids, "sequences": sequences})


async def poison(unit: UnitOfWork, envelope: Envelope) -> None:
    """As `handle`, but the event of the number given can never be handled."""
    if number_of(envelope.payload) == int(sys.argv[2]):
        raise ValueError("poisoned")
    await unit.send(_EFFECT, _row(envelope))


async def waits(unit: UnitOfWork, envelope: Envelope) -> None:
    """As a handler that asks another system: 50 ms of waiting, then one row."""
    await asyncio.sleep(0.05)
    await unit.send(_EFFECT, _row(envelope))


async def asks(unit: UnitOfWork, envelope: Envelope) -> None:
    """As a handler that asks another server, which may be away, then one row."""
    answer = await _client.get(os.environ["BENCH_ASKS"])
    answer.raise_for_status()
    await unit.send(_EFFECT, _row(envelope))


async def computes(unit: UnitOfWork, envelope: Envelope) -> None:
    """A quarter of a millisecond of computing, then one row."""
    until = time.thread_time() + 0.00025
    while time.thread_time() < until:
        hash(envelope.payload)
    await unit.send(_EFFECT, _row(envelope))


def _row(envelope: Envelope) -> dict[str, object]:
    return {"id": envelope.stream.aggregate_id, "sequence": envelope.sequence}


HANDLERS: HandlersByType = {
    "sqlalchemy": through_sqlalchemy,
    "handle": handle,
    "handle_many": handle_many(together),
    "poison": poison,
    "waits": waits,
    "asks": asks,
    "computes": computes,
}
"""By name, as a row asks for them."""


async def consume(stop: asyncio.Event) -> None:
    database_url = os.environ["BENCH_DATABASE_URL"]
    settings = ConsumerSettings(concurrency=int(_WORKERS)) if _WORKERS else ConsumerSettings()
    engine = create_async_engine(
        database_url.replace("postgresql://", "postgresql+psycopg://"),
        pool_size=settings.concurrency + 2,
    )
    async with open_work(engine, database_url, Outbox(SOURCE)) as work:
        consumer = Consumer(
            queue=QUEUE,
            handlers={TYPE: HANDLERS[sys.argv[1]]},
            work=work,
            broker_url=os.environ["BENCH_BROKER_URL"],
            topology=TOPOLOGY,
            settings=settings,
        )
        await consumer.run(stop)


if __name__ == "__main__":
    serve(consume)

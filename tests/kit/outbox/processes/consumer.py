"""A consumer in a process of its own, which tests make die: python consumer.py DB BROKER.

The first event of the aggregate `poison` ends the process, so does the second of `poison late`;
the first of `hangs` blocks it for longer than HANGS_AFTER seconds, the first of `refuses` waits as
long and ignores that it is cancelled. Every handler waits for HANDLER_WAITS seconds before its
effect. With ANSWERS it answers requests instead, on the queue for the way back.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from contextlib import suppress

from sqlalchemy.ext.asyncio import create_async_engine

from kit.outbox.beacons import answering
from kit.outbox.deliveries import record
from kit.outbox.world import SOURCE, World
from outbox import Envelope, Notifier, Outbox, UnitOfWork, Work


async def cook(unit: UnitOfWork, event: Envelope) -> None:
    if (event.stream.aggregate_id, event.sequence) in (("poison", 1), ("poison late", 2)):
        os._exit(3)
    if event.stream.aggregate_id == "hangs" and event.sequence == 1:
        time.sleep(600)  # noqa: ASYNC251 this is what it is about
    while event.stream.aggregate_id == "refuses" and event.sequence == 1:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(600)
    await asyncio.sleep(float(os.environ.get("HANDLER_WAITS", "0")))
    await record(unit, event)


async def main(database_url: str, broker_url: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    async with Notifier(database_url) as notifier:
        world = World(database_url, broker_url, engine, Work(engine, Outbox(SOURCE), notifier))
        hangs_after = float(os.environ.get("HANGS_AFTER", "50"))
        consumer = world.consumer(
            cook,
            hangs_after=hangs_after,
            time_limit=hangs_after / 2,
            concurrency=int(os.environ.get("CONCURRENCY", "8")),
            prefetch=int(os.environ.get("PREFETCH", "500")),
            missing_after=float(os.environ.get("MISSING_AFTER", "30")),
            resend=[SOURCE],
        )
        await (answering(world) if os.environ.get("ANSWERS") else consumer).run(stop)
    await engine.dispose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

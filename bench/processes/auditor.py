"""The audit under measurement, as the service's worker runs it. Its lines go nowhere."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from sqlalchemy.ext.asyncio import create_async_engine

from bench.environment import AUDIT_QUEUE, AUDITED
from bench.processes.control_protocol import serve
from outbox.rabbitmq import stream_reader
from service_processor.audit.journal import LINGER, Journal
from service_processor.audit.models import audit_positions
from servicekit.observe import logs
from servicekit.process.settings import LogFormat, LogLevel


async def audit(stop: asyncio.Event) -> None:
    database_url = os.environ["BENCH_DATABASE_URL"]
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    async with engine.begin() as connection:
        await connection.run_sync(audit_positions.create)
    journal = Journal(engine, AUDIT_QUEUE)
    reader = stream_reader.StreamReader(
        stream=AUDIT_QUEUE,
        broker_url=os.environ["BENCH_BROKER_URL"],
        topology=AUDITED,
        begin=journal.position,
        handle=journal.write,
        linger=LINGER,
    )
    await reader.run(stop)


if __name__ == "__main__":
    with Path(os.devnull).open("w") as nowhere:
        logs.configure("bench", LogLevel.INFO, LogFormat.JSON, nowhere)
        serve(audit)

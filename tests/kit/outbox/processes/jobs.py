"""A worker of jobs in a process of its own: python jobs.py DB. Calls a ledger by SQL.

The ledger stands in for a provider: it notes each call under its idempotency key, outside of any
transaction of the job's.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

import psycopg
from sqlalchemy.ext.asyncio import create_async_engine

from kit.outbox.world import SOURCE, Happened
from outbox import Notifier, Outbox, UnitOfWork, Work
from outbox.jobs import Job, JobHandler, JobSettings, JobWorker, Result


async def call(database_url: str, job: Job) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as provider:
        await provider.execute("INSERT INTO calls (key) VALUES (%s)", [job.idempotency_key])


def pay(database_url: str) -> JobHandler:
    async def handler(job: Job) -> Result:
        await call(database_url, job)
        time.sleep(float(os.environ.get("BLOCKED", "0")))  # noqa: ASYNC251 a handler must not do it

        async def result(unit: UnitOfWork) -> None:
            await unit.emit(Happened(job.payload["order"]))

        return result

    return handler


async def main(database_url: str) -> None:
    engine = create_async_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    async with Notifier(database_url) as notifier:
        worker = JobWorker(
            Work(engine, Outbox(SOURCE), notifier),
            {"pay": pay(database_url)},
            JobSettings(lease=float(os.environ.get("LEASE", "1")), heartbeat=0.2),
        )
        await worker.run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

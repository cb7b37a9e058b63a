"""The shop's application: it commits, rolls back, schedules and cancels, through every outage."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from chaos.scenario import SHOP, WRITE, Environment, Event, with_driver
from outbox import Outbox, UnitOfWork, Work, open_work

AGGREGATES = 40
EVERY = 0.05
_NEXT = """
INSERT INTO ledger (aggregate_id, last) VALUES (%(id)s, 1)
ON CONFLICT (aggregate_id) DO UPDATE SET last = ledger.last + 1 RETURNING last
"""
_CANCELLED = "DELETE FROM written WHERE token = %(token)s"


class ChangedItsMind(Exception):
    """The transaction is rolled back."""


class Workload:
    """Several tasks that write side by side. `poison_next` makes the next event a poisoned one."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._wanted: deque[str] = deque()
        self._scheduled: list[tuple[str, str]] = []

    def poison_next(self, kind: str) -> None:
        self._wanted.append(kind)

    async def write(self, environment: Environment, stop: asyncio.Event, *, tasks: int = 2) -> None:
        """Write until `stop` is set."""
        engine = create_async_engine(with_driver(environment.databases["shop"]))
        async with open_work(engine, environment.databases["shop"], Outbox(SHOP.name)) as work:
            await asyncio.gather(*(self._go_on(work, stop) for _ in range(tasks)))

    async def _go_on(self, work: Work, stop: asyncio.Event) -> None:
        while not stop.is_set():
            # `written` holds what was committed, even when the answer was lost.
            with suppress(ChangedItsMind, DBAPIError, psycopg.Error, OSError):
                await self._one(work)
            await asyncio.sleep(self._rng.uniform(0, 2 * EVERY))

    async def _one(self, work: Work) -> None:
        async with work.begin() as unit:
            choice = self._rng.random()
            if choice < 0.08 and self._scheduled:
                await self._cancel(unit)
            elif choice < 0.16:
                await self._schedule(unit)
            else:
                await self._emit(unit)
            if self._rng.random() < 0.1:
                raise ChangedItsMind

    async def _emit(self, unit: UnitOfWork) -> None:
        # Always in the same order, so that two writers cannot deadlock.
        chosen = sorted(self._rng.sample(range(AGGREGATES), self._rng.randint(1, 3)))
        events = []
        for aggregate in (f"a{number}" for number in chosen):
            for _ in range(self._rng.randint(1, 2)):
                last = await unit.connection.exec_driver_sql(_NEXT, {"id": aggregate})
                kind = self._wanted.popleft() if self._wanted else ""
                events.append(Event("order", aggregate, last.scalar_one(), kind))
        for event in events:
            await unit.connection.exec_driver_sql(WRITE, event.row)
        await unit.emit(*events)

    async def _schedule(self, unit: UnitOfWork) -> None:
        event = Event("order", f"a{self._rng.randrange(AGGREGATES)}")
        key, due = uuid4().hex, datetime.now(UTC) + timedelta(seconds=self._rng.uniform(0, 2))
        await unit.connection.exec_driver_sql(WRITE, event.row)
        await unit.schedule(event, key=key, at=due)
        self._scheduled.append((key, event.token))

    async def _cancel(self, unit: UnitOfWork) -> None:
        key, token = self._scheduled.pop()
        if await unit.unschedule(key):
            await unit.connection.exec_driver_sql(_CANCELLED, {"token": token})

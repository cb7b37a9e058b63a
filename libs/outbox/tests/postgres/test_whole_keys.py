"""Tables that are large before PostgreSQL has statistics of them: a call reads what it is about.

The tables grow after the statements were prepared, as those of a young database do, and nothing
analyzes them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy.ext.asyncio import create_async_engine

from kit.outbox.beacons import beacon
from kit.outbox.deliveries import events, record, stream_of
from kit.outbox.world import QUEUE, SOURCE, Happened, World
from outbox import Envelope, Outbox, Park, UnitOfWork, Work, open_work
from outbox.inbox.inbox import Inbox
from outbox.inbox.missing_events import MissingEvents
from outbox.inbox.parked_events import ParkedEvents
from outbox.inbox.position import LockedPositions
from outbox.inbox.settings import InboxSettings
from outbox.inbox.stream_claims import StreamClaims
from outbox.inbox.unsequenced import MessageIds
from outbox.jobs.store import JobStore
from outbox.log.relay_queries import OutboxMarker, Schedule
from outbox.resend_events import Ranges, StreamRanges

NO_STATISTICS = """
SELECT format('ALTER TABLE %%I SET (autovacuum_enabled = off)', relname) FROM pg_class
 WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
"""
FILL = """
INSERT INTO inbox (consumer, source, aggregate_type, aggregate_id, last_sequence, blocked, parked)
SELECT 'kitchen.orders', 'shop', kind, n::text, 5, true, 1
  FROM unnest('{order,message id}'::text[]) kind, generate_series(1, 20000) n;
INSERT INTO inbox_parked (consumer, source, aggregate_type, aggregate_id, sequence, event_id,
                          reason, type, version, time, body, correlation_id)
SELECT 'kitchen.orders', 'shop', 'order', n::text, 6, gen_random_uuid(), 'failed',
       'order.happened', 1, now(), '{}', 'c' FROM generate_series(1, 20000) n;
INSERT INTO inbox_attempts
SELECT 'kitchen.orders', 'shop', 'order', n::text, 6, 1 FROM generate_series(1, 20000) n;
INSERT INTO inbox_messages (consumer, source, message_id)
SELECT 'kitchen.orders', 'shop', n::text FROM generate_series(1, 20000) n;
INSERT INTO outbox_streams SELECT 'shop', 'order', n::text, 1 FROM generate_series(1, 20000) n;
INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence, type, version,
                    payload, correlation_id)
SELECT gen_random_uuid(), n %% 1024, 'shop', 'order', n::text, 1, 'order.happened', 1, '{}', 'c'
  FROM generate_series(1, 20000) n;
INSERT INTO outbox_scheduled
SELECT 'shop', n::text, now() + n * interval '1 h', gen_random_uuid(), 1, 'order', n::text,
       'order.happened', 1, '{}', 'c' FROM generate_series(1, 20000) n;
INSERT INTO outbox_jobs (kind, key, payload, correlation_id, next_attempt_at)
SELECT 'pay', n::text, '{}', 'c', now() + n * interval '1 h' FROM generate_series(1, 20000) n
"""
READ = """
SELECT relname, seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables
"""
FLUSH = "SELECT pg_stat_force_next_flush()"
A_LITTLE, FOR_EACH_STREAM = 100, 20

Call = Callable[[], Awaitable[object]]


@dataclass
class Caller:
    """Calls the library for some streams, and counts the rows that PostgreSQL reads for it."""

    world: World
    work: Work
    connection: psycopg.AsyncConnection[Any]
    too_many: dict[str, Mapping[str, int]] = field(default_factory=dict)
    fails: bool = False

    def __post_init__(self) -> None:
        settings = InboxSettings(failures={ValueError: Park()})
        self.inbox = Inbox(QUEUE, {"order.happened": self._handle}, self.work, settings)

    async def _handle(self, unit: UnitOfWork, event: Envelope) -> None:
        if self.fails:
            raise ValueError("not now")
        await record(unit, event)

    async def call(self, aggregates: Sequence[str]) -> None:
        """All that happens to a stream: its events are applied, parked, missed, tried again."""
        await self._deliver(aggregates)
        await self._search(aggregates)
        await self._try_again(aggregates)
        await self._publish(aggregates)

    async def _deliver(self, aggregates: Sequence[str]) -> None:
        first, again, _, too_early = zip(*(events(4, one) for one in aggregates), strict=True)
        await self._measure("apply", aggregates, lambda: self.inbox.handle(first))
        redelivered = lambda: self.inbox.handle_some(again, redelivered=again)  # noqa: E731
        await self._measure("redelivered", aggregates, redelivered)
        await self._measure("park", aggregates, lambda: self.inbox.handle(too_early))

    async def _search(self, aggregates: Sequence[str]) -> None:
        missing = MissingEvents(self.connection, QUEUE)
        known = beacon(1, **dict.fromkeys(aggregates, 9))
        ranges: Ranges = ((3, 3),)
        asked = [StreamRanges("order", one, ranges) for one in aggregates]
        late = [event for one in aggregates for event in events(1, one, first=3)]
        steps: dict[str, Call] = {
            "gaps": lambda: missing.notice_gaps(after=0),
            "beacon": lambda: missing.notice(known, after=0),
            "compare": lambda: missing.compare(after=0, soon=0),
            "in hand": lambda: missing.in_hand(late, after=0),
            "due": lambda: missing.due(SOURCE, limit=500),
            "asked": lambda: missing.asked(SOURCE, asked, first=1, ceiling=1),
            "unavailable": lambda: missing.unavailable(SOURCE, asked),
            "catch up": lambda: self.inbox.handle(late),
        }
        for name, step in steps.items():
            await self._measure(name, aggregates, step)
        await self.world.execute("DELETE FROM inbox_missing")

    async def _try_again(self, aggregates: Sequence[str]) -> None:
        self.fails = True
        for one in aggregates:
            await self.inbox.handle(events(1, one, first=5))
        self.fails = False
        streams = [stream_of(one) for one in aggregates]
        claims = StreamClaims(self.connection, QUEUE)
        await self._measure("redrive", aggregates, lambda: self._redrive(aggregates))
        beyond = dict.fromkeys(streams, 4)
        parked = ParkedEvents(self.connection, QUEUE)
        await self._measure("waiting", aggregates, lambda: parked.waiting(beyond))
        await self._measure("retry", aggregates, lambda: self.inbox.retry_due(claims))
        ids = MessageIds(self.connection, QUEUE)
        await self._measure("messages", aggregates, lambda: ids.forget_old(timedelta(days=7)))

    async def _redrive(self, aggregates: Sequence[str]) -> None:
        streams = [stream_of(one) for one in aggregates]
        async with self.connection.transaction():
            locked = await LockedPositions.lock(self.connection, QUEUE, streams)
            await locked.forget_attempts_of_next(streams)
            due = await ParkedEvents(self.connection, QUEUE).redrive_next(streams)
        assert due == len(streams)

    async def _publish(self, aggregates: Sequence[str]) -> None:
        async with self.work.begin() as unit:
            for one in aggregates:
                await unit.schedule(Happened(one), key=one, at=datetime.now(UTC))
        move = Schedule(self.connection).move_due
        await self._measure("move", aggregates, lambda: move(limit=500))
        query = "SELECT id FROM outbox WHERE aggregate_id = ANY(%s)"
        errors = {id_: "returned" for (id_,) in await self.world.rows(query, [*aggregates])}
        assert len(errors) == len(aggregates)
        marker, jobs = OutboxMarker(self.connection), JobStore(self.connection)
        await self._measure("failed", aggregates, lambda: marker.mark_failed(errors))
        await self._measure("next job", aggregates, lambda: jobs.until_next(["pay"]))
        await self._measure("claim", aggregates, lambda: jobs.claim(["pay"], 1))

    async def _measure(self, name: str, aggregates: Sequence[str], call: Call) -> None:
        before = await self._read()
        await call()
        after = await self._read()
        read = {table: after[table] - before[table] for table in after}
        if sum(read.values()) > A_LITTLE + FOR_EACH_STREAM * len(aggregates):
            self.too_many[f"{name} of {len(aggregates)}"] = {
                table: rows for table, rows in read.items() if rows
            }

    async def _read(self) -> dict[str, int]:
        """The rows that were read of each table so far."""
        async with self.work.engine.connect() as connection:
            await connection.exec_driver_sql(FLUSH)
        await self.connection.execute(FLUSH)
        found = await self.world.rows(READ)
        return {str(table): int(str(rows)) for table, rows in found}


@asynccontextmanager
async def calling(world: World, plans: str) -> AsyncIterator[Caller]:
    """Each part has one connection, which prepares what it runs at once."""
    options = f"-c plan_cache_mode={plans}"
    engine = create_async_engine(
        world.database_url.replace("postgresql:", "postgresql+psycopg:"),
        pool_size=1,
        connect_args={"options": options, "prepare_threshold": 0},
    )
    async with (
        open_work(engine, world.database_url, Outbox(SOURCE)) as work,
        await psycopg.AsyncConnection.connect(
            world.database_url, autocommit=True, options=options, prepare_threshold=0
        ) as connection,
    ):
        yield Caller(world, work, connection)


@pytest.mark.parametrize("plans", ["force_generic_plan", "force_custom_plan"])
async def test_a_call_reads_the_rows_of_its_streams(world: World, plans: str) -> None:
    for (statement,) in await world.rows(NO_STATISTICS):
        await world.execute(str(statement))
    async with calling(world, plans) as caller:
        await caller.call(["early"])
        for statement in FILL.split(";"):
            await world.execute(statement)
        await caller.call(["alone"])
        await caller.call([f"s{n}" for n in range(100)])
        assert caller.too_many == {}

"""A batch of a consumer waits for PostgreSQL twice, besides what its handlers ask."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
import pytest
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from kit.outbox.deliveries import effects, events, record
from kit.outbox.world import QUEUE, SOURCE, Happened, World
from kit.servers.round_trips import RoundTrips
from kit.servers.tcp_proxy import server_of, through
from outbox import Envelope, HandlersByType, Outbox, Park, UnitOfWork, handle_many, open_work
from outbox.inbox.handlers import HandleMany, Handler
from outbox.inbox.inbox import Inbox
from outbox.inbox.operations import list_parked
from outbox.inbox.settings import InboxSettings

EFFECT = "INSERT INTO effects (aggregate_id, sequence) VALUES (%(id)s, %(sequence)s)"


async def writes(unit: UnitOfWork, event: Envelope) -> None:
    await unit.send(EFFECT, {"id": event.aggregate_id, "sequence": event.sequence})
    await unit.emit(Happened(event.aggregate_id))


async def writes_many(unit: UnitOfWork, events: Sequence[Envelope]) -> None:
    for event in events:
        await writes(unit.caused_by(event), event)


@asynccontextmanager
async def inbox_behind_a_proxy(
    world: World, handlers: HandlersByType
) -> AsyncIterator[tuple[Inbox, RoundTrips]]:
    """An inbox whose only connection has done some work already."""
    trips = RoundTrips(*server_of(world.database_url))
    async with trips.serving() as port:
        url = through(world.database_url, port)
        engine = create_async_engine(url.replace("postgresql:", "postgresql+psycopg:"), pool_size=1)
        async with open_work(engine, world.database_url, Outbox(SOURCE)) as work:
            inbox = Inbox(QUEUE, handlers, work)
            await inbox.handle(events(1, "first"))
            yield inbox, trips


@pytest.mark.parametrize(
    ("handler", "expected"), [(writes, 2), (handle_many(writes_many), 2), (record, 2 + 3)]
)
async def test_a_batch_has_one_round_trip_before_its_handlers_and_one_after(
    world: World, handler: Handler | HandleMany, expected: int
) -> None:
    async with inbox_behind_a_proxy(world, {"order.happened": handler}) as (inbox, trips):
        before = trips.count
        await inbox.handle([*events(2, "a"), *events(1, 'b"\\{},')])
        assert trips.count - before == expected
    assert await effects(world) == {"first": [1], "a": [1, 2], 'b"\\{},': [1]}


async def test_a_transaction_has_the_isolation_level_of_its_engine(world: World) -> None:
    seen: list[object] = []

    async def looks(unit: UnitOfWork, event: Envelope) -> None:
        found = await unit.connection.exec_driver_sql("SHOW transaction_isolation")
        seen.append(found.scalar_one())

    url = world.database_url.replace("postgresql:", "postgresql+psycopg:")
    engine = create_async_engine(url, isolation_level="REPEATABLE READ")
    async with open_work(engine, world.database_url, Outbox(SOURCE)) as work:
        await Inbox(QUEUE, {"order.happened": looks}, work).handle(events(1))
    assert seen == ["repeatable read"]


@pytest.mark.parametrize("error", [IntegrityError, psycopg.errors.ForeignKeyViolation])
async def test_what_only_the_commit_refuses_is_a_failure_of_its_event_by_its_class(
    world: World, error: type[Exception]
) -> None:
    await world.execute("CREATE TABLE guests (id text PRIMARY KEY)")
    await world.execute(
        "CREATE TABLE seats (guest text REFERENCES guests DEFERRABLE INITIALLY DEFERRED)"
    )

    async def seats(unit: UnitOfWork, event: Envelope) -> None:
        await writes(unit, event)
        if event.aggregate_id == "b":
            await unit.send("INSERT INTO seats VALUES (%(guest)s)", {"guest": "nobody"})

    settings = InboxSettings(failures={error: Park("unreadable")})
    inbox = Inbox(QUEUE, {"order.happened": seats}, world.work, settings)
    await inbox.handle([*events(1, "a"), *events(1, "b"), *events(1, "c")])
    async with await world.psycopg() as connection:
        [parked] = await list_parked(connection, QUEUE)
    assert (parked.stream.aggregate_id, parked.reason) == ("b", "unreadable")
    assert await effects(world) == {"a": [1], "c": [1]}
    assert await world.unpublished() == 2

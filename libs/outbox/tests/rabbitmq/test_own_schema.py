"""Tables in a PostgreSQL schema of one's own, with another outbox in public beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import MetaData, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine

from kit.outbox.operator import say
from kit.outbox.world import SOURCE, Happened, World, running
from kit.waiting import eventually
from outbox import (
    Envelope,
    Maintenance,
    Outbox,
    UnitOfWork,
    declare_inbox,
    jobs,
    open_work,
    schema,
)
from outbox.postgres.day_partitions import OUTBOX

APP = 'My-"App"'


def declared() -> tuple[Outbox, MetaData]:
    metadata = MetaData(schema=APP)
    outbox = Outbox(SOURCE, metadata)
    declare_inbox(metadata)
    jobs.declare_jobs(metadata)
    return outbox, metadata


def install(url: str, how: str) -> None:
    """The tables in `APP`, by `create_all` or by the calls of a migration."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.execute(text('CREATE SCHEMA "My-""App"""'))
        if how == "create_all":
            declared()[1].create_all(connection)
        else:
            schema.create_outbox(connection, schema=APP)
            schema.create_inbox(connection, schema=APP)
            schema.create_jobs(connection, schema=APP)
    engine.dispose()


@pytest.fixture(params=["create_all", "calls"])
async def app(world: World, request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """The same database as the world's, whose search path leads to `APP` first, then to public."""
    install(world.database_url, request.param)
    url = f"{world.database_url}?options=-csearch_path%3D%22My-%22%22App%22%22%22%2Cpublic"
    engine = create_async_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    async with open_work(engine, url, declared()[0]) as work:
        yield replace(world, database_url=url, engine=engine, work=work)
    await engine.dispose()


async def count(world: World, table: str) -> int:
    [(rows,)] = await world.rows(f"SELECT count(*) FROM {table}")
    return int(str(rows))


async def test_events_go_through_the_log_and_the_inbox_of_ones_own(app: World) -> None:
    seen: list[str] = []

    async def note(_unit: UnitOfWork, event: Envelope) -> None:
        seen.append(event.stream.aggregate_id)

    async def arrived() -> bool:
        return sorted(seen) == ["a", "b", "c"]

    async with running(app.relay(), app.consumer(note)):
        await app.emit(Happened("a"), Happened("b"))
        async with app.work.begin() as unit:
            await unit.schedule(Happened("c"), key="c", at=datetime.now(UTC))
            await unit.schedule(Happened("d"), key="d", at=datetime.now(UTC) + timedelta(days=1))
            assert await unit.unschedule("d")
        await eventually(arrived)
    assert await count(app, "public.outbox") == 0
    assert await count(app, "public.inbox") == 0
    assert await count(app, "inbox") == 3


async def test_events_are_written_to_the_declared_schema_whatever_the_search_path(
    app: World, world: World
) -> None:
    async with world.engine.begin() as connection:
        await declared()[0].add(connection, Happened("a"))
        await declared()[0].schedule(connection, Happened("b"), key="b", at=datetime.now(UTC))
    assert await count(world, "public.outbox") == 0
    assert await count(world, "public.outbox_scheduled") == 0
    assert await count(app, "outbox") == 1
    assert await count(app, "outbox_scheduled") == 1


async def test_days_are_made_counted_and_dropped_in_the_logs_own_schema(app: World) -> None:
    public = await count(app, "pg_inherits WHERE inhparent = 'public.outbox'::regclass")
    day = OUTBOX.name_of(datetime.now(UTC).date() + timedelta(days=2))
    await app.execute(f"DROP TABLE {day}")  # the first of the search path: ours
    async with app.engine.connect() as connection:
        assert await OUTBOX.days_ahead(connection) == 1
    assert await Maintenance(app.engine).prepare(within=0)
    old = datetime.now(UTC).date() - timedelta(days=30)
    await app.execute(OUTBOX.add(old))
    async with app.engine.connect() as connection:
        assert await OUTBOX.days_ahead(connection) == OUTBOX.ahead
    assert await OUTBOX.drop_expired(app.engine) == [OUTBOX.name_of(old)]
    assert await count(app, "pg_inherits WHERE inhparent = 'public.outbox'::regclass") == public


async def test_relays_of_two_logs_in_one_database_do_not_share_lanes(
    app: World, world: World
) -> None:
    ours, theirs = app.relay(), world.relay()

    async def both_own_all() -> bool:
        return len(ours.lanes) == len(theirs.lanes) == 16

    async with running(ours, theirs):
        await eventually(both_own_all)


@pytest.mark.parametrize(
    "command", ["status", "schema --check", "partitions --ensure", "parked list"]
)
async def test_the_command_looks_at_the_schema_of_its_url(app: World, command: str) -> None:
    await app.execute("DROP TABLE public.outbox, public.inbox, public.outbox_settings CASCADE")
    await say({"DATABASE_URL": app.database_url}, *command.split())

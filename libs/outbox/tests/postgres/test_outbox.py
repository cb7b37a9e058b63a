"""`outbox.add` in whatever transaction the caller has."""

from __future__ import annotations

from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from kit.outbox.world import SOURCE, Happened, World
from outbox import Outbox
from outbox.errors import InvalidSetting

OUTBOX = Outbox(SOURCE)
ONE = (Happened("a"),)
MANY = (Happened("a"), Happened("b"), Happened("a"))
BOTH = pytest.mark.parametrize("events", [ONE, MANY])


async def sequences(world: World) -> list[tuple[object, ...]]:
    return await world.rows("SELECT aggregate_id, sequence FROM outbox ORDER BY id")


def expected(events: tuple[Happened, ...]) -> list[tuple[str, int]]:
    return [("a", 1)] if events == ONE else [("a", 1), ("b", 1), ("a", 2)]


@BOTH
async def test_an_async_connection_writes(world: World, events: tuple[Happened, ...]) -> None:
    async with world.engine.begin() as connection:
        ids = await OUTBOX.add(connection, *events)
    assert len(ids) == len(events)
    assert await sequences(world) == expected(events)


@BOTH
async def test_an_async_session_writes(world: World, events: tuple[Happened, ...]) -> None:
    async with AsyncSession(world.engine) as session, session.begin():
        await OUTBOX.add(session, *events)
    assert await sequences(world) == expected(events)


@BOTH
async def test_a_plain_async_psycopg_connection_writes(
    world: World, events: tuple[Happened, ...]
) -> None:
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        await OUTBOX.add(connection, *events)
        assert await sequences(world) == [], "not before the commit"
    assert await sequences(world) == expected(events)


@BOTH
async def test_a_connection_a_session_and_plain_psycopg_write_synchronously(
    world: World, events: tuple[Happened, ...]
) -> None:
    url = world.database_url
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        OUTBOX.add_sync(connection, *events)
    with Session(engine) as session, session.begin():
        OUTBOX.add_sync(session, Happened("c"))
    engine.dispose()
    with psycopg.connect(url) as plain:
        OUTBOX.add_sync(plain, Happened("d"))
    assert await sequences(world) == [*expected(events), ("c", 1), ("d", 1)]


async def test_what_is_rolled_back_is_not_written(world: World) -> None:
    async with AsyncSession(world.engine) as session:
        await OUTBOX.add(session, Happened("a"))
        await session.rollback()
    assert await sequences(world) == []


async def test_plain_psycopg_schedules_and_cancels(world: World) -> None:
    async with await psycopg.AsyncConnection.connect(world.database_url) as connection:
        await OUTBOX.schedule(connection, Happened("a"), key="k", at=datetime.now(UTC))
        await OUTBOX.schedule(connection, Happened("b"), key="l", at=datetime.now(UTC))
        assert await OUTBOX.unschedule(connection, "k", "l", "m") == {"k", "l"}
        assert not await OUTBOX.unschedule(connection, "k")


@BOTH
async def test_asyncpg_writes_schedules_and_cancels(
    world: World, events: tuple[Happened, ...]
) -> None:
    engine = create_async_engine(make_url(world.database_url).set(drivername="postgresql+asyncpg"))
    async with AsyncSession(engine) as session, session.begin():
        await OUTBOX.add(session, *events, traceparent="00-a-b-01")
        for key in ("k", "k", "l"):
            await OUTBOX.schedule(session, Happened("z"), key=key, at=datetime.now(UTC))
        assert await OUTBOX.unschedule(session, "l")
        assert not await OUTBOX.unschedule(session, "l")
    await engine.dispose()
    assert await sequences(world) == expected(events)
    assert await world.rows("SELECT key, payload->>'number' FROM outbox_scheduled") == [("k", "0")]


def test_a_connection_to_another_database_is_refused() -> None:
    with (
        create_engine("sqlite://").begin() as connection,
        pytest.raises(InvalidSetting, match=r"connection has to be to PostgreSQL; .*sqlite"),
    ):
        OUTBOX.add_sync(connection, Happened("a"))

"""Ids drawn in blocks: each once, in any process, and rarely a round trip."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from servicekit.database.engine import create_engine
from servicekit.database.id_allocation import IdBlocks
from servicekit.process.urls import PostgresUrl


async def test_every_id_is_drawn_once(database_url: str) -> None:
    engine = create_engine(PostgresUrl(database_url), application_name="test")
    async with engine.begin() as connection:
        await connection.execute(text("CREATE SEQUENCE things"))
    processes = [IdBlocks(engine, "things", block=7) for _ in range(3)]
    ids = await asyncio.gather(*(processes[n % 3].next() for n in range(100)))
    assert len(set(ids)) == 100
    async with engine.begin() as connection:
        drawn = await connection.execute(text("SELECT last_value FROM things"))
        assert max(ids) <= drawn.scalar_one() <= 100 + 3 * 7
    assert [await IdBlocks(engine, "things", block=1).next() for _ in range(2)] == [106, 107]
    await engine.dispose()

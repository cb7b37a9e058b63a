"""Keys and the connection to the database: a commit's answer that is lost, and round trips."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from kit.http import ledger_service as world
from kit.http.ledger_service import ENTRY, Ledger
from kit.servers.round_trips import RoundTrips
from kit.servers.tcp_proxy import losing_commits, server_of, tcp_proxy, through
from servicekit.database.engine import create_engine
from servicekit.process.urls import PostgresUrl


@asynccontextmanager
async def client_behind(
    database: PostgresUrl, port: int, *, pool_size: int = 10
) -> AsyncIterator[httpx.AsyncClient]:
    """A process that sees its database at this port."""
    url = PostgresUrl(through(database, port))
    engine = create_engine(url, application_name="test", pool_size=pool_size)
    async with world.client(world.build(Ledger(engine))) as client:
        yield client
    await engine.dispose()


async def write(client: httpx.AsyncClient, key: str) -> httpx.Response:
    return await client.post("/entries/written", json=ENTRY, headers={"Idempotency-Key": key})


@pytest.mark.parametrize("count", [1, 8])
async def test_a_commit_whose_answer_was_lost_is_replayed_by_key(
    ledger: Ledger, database: PostgresUrl, count: int
) -> None:
    cuts = asyncio.Event()
    keys = [f"key-{number}" for number in range(count)]
    async with (
        tcp_proxy(*server_of(database), losing_commits(cuts)) as port,
        client_behind(database, port) as client,
    ):
        assert (await write(client, "before")).status_code == 201
        cuts.set()
        answers = await asyncio.gather(*(write(client, key) for key in keys))
        assert {answer.json()["code"] for answer in answers} == {"database_unavailable"}
        assert all("not known" in answer.json()["detail"] for answer in answers)
        cuts.clear()
        again = await asyncio.gather(*(write(client, key) for key in keys))
    assert {answer.status_code for answer in again} == {201}
    assert {answer.headers.get("Idempotency-Replayed") for answer in again} == {"true"}
    assert await ledger.count() == 1 + count


@pytest.mark.usefixtures("ledger")
async def test_a_request_alone_with_a_key_waits_for_the_database_twice(
    database: PostgresUrl,
) -> None:
    trips = RoundTrips(*server_of(database))
    async with trips.serving() as port, client_behind(database, port, pool_size=1) as client:
        await write(client, "one")
        before = trips.count
        assert (await write(client, "two")).status_code == 201
        assert trips.count - before == 2

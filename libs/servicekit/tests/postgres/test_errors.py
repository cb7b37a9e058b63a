"""The answer to a request that the database failed is true, whatever has failed."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import text

from kit.http import ledger_service as ledger_world
from kit.http.ledger_service import ENTRY, Ledger
from servicekit.database.engine import create_engine
from servicekit.http.app import create_app
from servicekit.http.routing import Router
from servicekit.observe.metrics import HttpMetrics
from servicekit.process.urls import PostgresUrl
from servicekit.testing import Outage

KEY = {"Idempotency-Key": "key-1"}


@pytest.fixture
async def notes(
    database: PostgresUrl, unsteady_database: PostgresUrl, metrics: HttpMetrics
) -> AsyncIterator[httpx.AsyncClient]:
    """Notes that are written by one statement, its own transaction, over a shaky connection."""
    await execute(database, "CREATE TABLE notes (note text)")
    engine = create_engine(unsteady_database, application_name="notes")
    router = Router(prefix="/notes")

    @router.post("", status_code=201)
    async def write() -> None:
        async with engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("INSERT INTO notes VALUES ('a')"))

    @router.get("")
    async def count() -> int:
        async with engine.connect() as connection:
            return int((await connection.execute(text("SELECT count(*) FROM notes"))).scalar_one())

    app = create_app(title="t", version="1", description="", routers=[router], metrics=metrics)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t/api/v1") as client:
        yield client
    await engine.dispose()


async def execute(url: PostgresUrl, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(sql.SQL(statement))


def detail_of(answer: httpx.Response) -> str:
    """The sentence of a 503 that asks to come again."""
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "database_unavailable"
    return str(answer.json()["detail"])


async def test_a_write_whose_answer_was_lost_is_never_called_unchanged(
    notes: httpx.AsyncClient, database_outage: Outage
) -> None:
    assert (await notes.post("/notes")).status_code == 201
    database_outage.loses_answers = True
    detail = detail_of(await notes.post("/notes"))
    database_outage.loses_answers = False
    assert (await notes.get("/notes")).json() == 2
    assert "nothing was changed" not in detail
    assert "not known" in detail
    assert "Idempotency-Key" in detail


async def test_a_read_whose_answer_was_lost_changed_nothing(
    notes: httpx.AsyncClient, database_outage: Outage
) -> None:
    assert (await notes.get("/notes")).status_code == 200
    database_outage.loses_answers = True
    assert "nothing was changed" in detail_of(await notes.get("/notes"))


async def test_a_write_that_reached_no_database_changed_nothing(
    notes: httpx.AsyncClient, database_outage: Outage
) -> None:
    await database_outage.begin()
    assert "nothing was changed" in detail_of(await notes.post("/notes"))


async def test_a_database_that_takes_no_writes_is_a_503_until_it_does(
    ledger: Ledger, database: PostgresUrl
) -> None:
    name = database.rpartition("/")[2]
    switch = f'ALTER DATABASE "{name}" SET default_transaction_read_only = '
    await execute(database, switch + "on")
    await ledger.engine.dispose()
    async with ledger_world.client(ledger_world.build(ledger)) as http:
        for headers in ({}, KEY):
            detail = detail_of(await http.post("/entries", json=ENTRY, headers=headers))
            assert "takes no changes" in detail
            assert "nothing was changed" in detail
        assert await ledger.count() == 0
        await execute_writing(database, switch + "off")
        for headers in ({}, KEY):
            answer = await http.post("/entries", json=ENTRY, headers=headers)
            assert answer.status_code == 201


async def execute_writing(url: PostgresUrl, statement: str) -> None:
    async with await psycopg.AsyncConnection.connect(
        url, autocommit=True, options="-c default_transaction_read_only=off"
    ) as connection:
        await connection.execute(sql.SQL(statement))


async def test_a_read_only_database_is_read_and_an_expired_key_finds_it_so(
    ledger: Ledger, database: PostgresUrl
) -> None:
    """The key is the first that is written, past SQLAlchemy."""
    async with ledger_world.client(ledger_world.build(ledger)) as http:
        await http.post("/entries", json=ENTRY, headers=KEY)
        await execute(database, "UPDATE idempotency_keys SET expires_at = now()")
        name = database.rpartition("/")[2]
        await execute(database, f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await ledger.engine.dispose()
        assert "takes no changes" in detail_of(await http.post("/entries", json=ENTRY, headers=KEY))
        assert await ledger.count() == 1

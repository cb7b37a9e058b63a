"""The engine against a real PostgreSQL that goes away and comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from kit.waiting import eventually
from servicekit.database.engine import (
    connect,
    create_engine,
    ensure_reachable,
    unreachable,
)
from servicekit.http.app import create_app
from servicekit.http.routing import Router
from servicekit.observe.metrics import HttpMetrics
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import PostgresUrl
from servicekit.testing import Outage

LogLines = Callable[..., list[dict[str, Any]]]


@asynccontextmanager
async def service(url: PostgresUrl, metrics: HttpMetrics) -> AsyncIterator[httpx.AsyncClient]:
    """An application that answers its backend's number, over a pool of four."""
    engine = create_engine(url, application_name="toys", pool_size=4)
    router = Router()

    @router.get("/backend")
    async def backend() -> int:
        async with engine.connect() as connection:
            return int((await connection.execute(text("SELECT pg_backend_pid()"))).scalar_one())

    async with client_of(router, metrics) as client:
        yield client
    await engine.dispose()


@asynccontextmanager
async def client_of(router: Router, metrics: HttpMetrics) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(title="t", version="1", description="", routers=[router], metrics=metrics)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
        yield client


async def burst(client: httpx.AsyncClient) -> list[int]:
    answers = await asyncio.gather(*(client.get("/api/v1/backend") for _ in range(8)))
    return [answer.status_code for answer in answers]


async def test_after_the_backends_were_killed_no_request_fails(
    database: PostgresUrl, metrics: HttpMetrics
) -> None:
    async with service(database, metrics) as client:
        assert await burst(client) == [200] * 8
        await kill_backends(database)
        assert await burst(client) == [200] * 8


async def kill_backends(url: PostgresUrl) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        others = (
            "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await connection.execute(f"SELECT pg_terminate_backend(pid) {others}")

        async def gone() -> bool:
            row = await (await connection.execute(f"SELECT count(*) {others}")).fetchone()
            return row == (0,)

        await eventually(gone)


async def test_while_the_database_is_away_requests_get_503_and_after_it_200(
    unsteady_database: PostgresUrl, database_outage: Outage, metrics: HttpMetrics
) -> None:
    async with service(unsteady_database, metrics) as client:
        assert await burst(client) == [200] * 8
        await database_outage.begin()
        assert await burst(client) == [503] * 8
        await database_outage.end()
        assert await burst(client) == [200] * 8


async def test_a_live_connection_is_reused_without_asking_the_server(
    database: PostgresUrl, metrics: HttpMetrics
) -> None:
    async with service(database, metrics) as client:
        pids = {(await client.get("/api/v1/backend")).json() for _ in range(5)}
        assert len(pids) == 1


async def test_the_log_of_a_refused_row_names_the_constraint_and_no_value(
    database: PostgresUrl, metrics: HttpMetrics, log_lines: LogLines
) -> None:
    engine = create_engine(database, application_name="toys")
    router = Router()

    @router.post("/owners")
    async def own() -> None:
        async with engine.begin() as connection:
            await connection.execute(
                text("CREATE TABLE owners (email text CONSTRAINT no_owner CHECK (email = ''))")
            )
            await connection.execute(
                text("INSERT INTO owners VALUES (:email)"), {"email": "ada@example.org"}
            )

    async with client_of(router, metrics) as client:
        assert (await client.post("/api/v1/owners")).status_code == 500
    await engine.dispose()
    [crashed] = [line for line in log_lines() if line["event"] == "request_crashed"]
    assert "no_owner" in crashed["exception"]
    assert "INSERT INTO owners" in crashed["exception"]
    assert "ada@example.org" not in str(crashed)


async def test_the_application_is_named_to_the_server(database: PostgresUrl) -> None:
    engine: AsyncEngine = create_engine(database, application_name="toys api")
    async with engine.connect() as connection:
        assert (await connection.execute(text("SHOW application_name"))).scalar() == "toys api"
    await engine.dispose()


@pytest.mark.parametrize(
    ("query", "lock_timeout", "search_path"),
    [
        ("", "4s", '"$user", public'),
        ("?options=-c%20search_path%3Dtoys", "4s", "toys"),
        ("?options=-c%20lock_timeout%3D9s", "9s", '"$user", public'),
    ],
)
async def test_the_server_ends_the_locks_of_a_vanished_client_and_the_url_may_override_that(
    database: PostgresUrl, query: str, lock_timeout: str, search_path: str
) -> None:
    url = PostgresUrl(f"{database}{query}")
    engine = create_engine(url, application_name="toys")
    wanted = {
        "lock_timeout": lock_timeout,
        "search_path": search_path,
        "idle_in_transaction_session_timeout": "90s",
        "tcp_keepalives_idle": "5",
        "tcp_user_timeout": "15000",
    }
    async with engine.connect() as pooled, await connect(url, application_name="own") as own:
        for name, value in wanted.items():
            assert (await pooled.execute(text(f"SHOW {name}"))).scalar() == value
            shown = await own.execute("SELECT current_setting(%s)", [name])
            assert await shown.fetchone() == (value,)
    await engine.dispose()


async def test_a_pooler_that_refuses_our_options_is_quoted_at_the_start() -> None:
    said = psycopg.OperationalError(
        "connection failed: FATAL:  unsupported startup parameter: options"
    )
    url = PostgresUrl("postgresql://toys:hidden@127.0.0.1:6432/toys")
    line = str(unreachable(url, "DATABASE_URL_TOYS", said))
    assert line == (
        "PostgreSQL at 127.0.0.1:6432/toys says: unsupported startup parameter: options"
        " (see DATABASE_URL_TOYS)"
    )


async def test_a_reachable_database_is_no_problem(database: PostgresUrl) -> None:
    await ensure_reachable(database, variable="DATABASE_URL_TOYS")


async def test_an_unreachable_database_is_one_line(
    unsteady_database: PostgresUrl, database_outage: Outage
) -> None:
    await database_outage.begin()
    line = await problem_with(unsteady_database)
    assert line.startswith(f"PostgreSQL at {unsteady_database.address} cannot be reached")


async def test_a_missing_database_is_named_by_the_server(database: PostgresUrl) -> None:
    line = await problem_with(PostgresUrl(f"{database}_gone"))
    assert '_gone" does not exist (see DATABASE_URL_TOYS)' in line


async def test_a_refused_password_is_one_line_without_it(database: PostgresUrl) -> None:
    host = urlsplit(database).netloc.rpartition("@")[2]
    name = urlsplit(database).path
    line = await problem_with(PostgresUrl(f"postgresql://nobody:hidden@{host}{name}"))
    assert "refuses the user or password of DATABASE_URL_TOYS" in line
    assert "hidden" not in line


async def problem_with(url: PostgresUrl) -> str:
    with pytest.raises(StartupProblem) as raised:
        await ensure_reachable(url, variable="DATABASE_URL_TOYS")
    line = str(raised.value)
    assert "\n" not in line
    return line

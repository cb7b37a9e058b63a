"""A database and a broker that can be cut off, and a toy application."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from uuid import UUID

import httpx
import psycopg
import pytest
import structlog
from prometheus_client import CollectorRegistry
from pydantic import BaseModel, Field

from kit.http import ledger_service as ledger_world
from servicekit.database.engine import create_engine
from servicekit.http.app import ServiceApp, create_app
from servicekit.http.fields import (
    IntId,
    Money,
    Text,
    Timestamp,
    UuidId,
    WaitSeconds,
    Whole,
)
from servicekit.http.openapi import problem_responses
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router
from servicekit.observe import logs
from servicekit.observe.health import Health
from servicekit.observe.metrics import HttpMetrics
from servicekit.process.settings import LogFormat, LogLevel
from servicekit.process.urls import AmqpUrl, PostgresUrl
from servicekit.testing import Outage

LogLines = Callable[..., list[dict[str, Any]]]


async def _outage(url: str) -> AsyncIterator[Outage]:
    parts = urlsplit(url)
    outage = Outage(parts.hostname or "", parts.port or 0)
    await outage.end()
    yield outage
    await outage.begin()


@pytest.fixture
def database(database_url: str) -> PostgresUrl:
    return PostgresUrl(database_url)


@pytest.fixture
async def ledger(database: PostgresUrl) -> AsyncIterator[ledger_world.Ledger]:
    engine = create_engine(database, application_name="test", pool_size=20)
    await ledger_world.create_tables(engine)
    yield ledger_world.Ledger(engine)
    await engine.dispose()


@pytest.fixture
async def database_outage(database_url: str) -> AsyncIterator[Outage]:
    async for outage in _outage(database_url):
        yield outage


@pytest.fixture
def unsteady_database(database_url: str, database_outage: Outage) -> PostgresUrl:
    """The database as seen through `database_outage`."""
    return PostgresUrl(database_outage.before(database_url))


@pytest.fixture
async def broker_outage(broker_url: str) -> AsyncIterator[Outage]:
    async for outage in _outage(broker_url):
        yield outage


@pytest.fixture
def unsteady_broker(broker_url: str, broker_outage: Outage) -> AmqpUrl:
    return AmqpUrl(broker_outage.before(broker_url))


@pytest.fixture
def log_lines() -> Iterator[LogLines]:
    """Configure logging as a service does; calling it gives the lines since and sets the level."""
    handlers, level = logging.root.handlers, logging.root.level
    stream = io.StringIO()

    def lines(level: LogLevel = LogLevel.INFO) -> list[dict[str, Any]]:
        written = [json.loads(line) for line in stream.getvalue().splitlines()]
        stream.seek(0)
        stream.truncate()
        logs.configure("toys", level, LogFormat.JSON, stream)
        return written

    lines()
    yield lines
    logging.root.handlers, logging.root.level = handlers, level
    structlog.reset_defaults()


class Line(BaseModel):
    name: Annotated[str, Text(1, 20)]
    quantity: Annotated[int, Whole(1, 1_000_000)]


class OrderToy(BaseModel):
    owner: Annotated[str, Text(1, 255)]
    amount: Money
    lines: Annotated[list[Line], Field(min_length=1, max_length=500)]
    due: Timestamp | None = None
    notes: dict[str, object] = Field(default_factory=dict)


class ToyView(BaseModel):
    id: UUID
    owner: str
    amount: Money
    due: Timestamp


class ToyIsBroken(Exception):
    def __init__(self, toy: UUID, allowed: list[str]) -> None:
        super().__init__(f"The toy {toy} is broken.")
        self.allowed = allowed


TOY = UUID("01890000-0000-7000-8000-000000000001")
BROKEN = ProblemSpec(409, "toy_is_broken", members=("allowed",))


def toy_router() -> Router:
    router = Router(prefix="/toys", tags=["toys"])

    async def order_toy(body: OrderToy) -> ToyView:
        moment = body.due or datetime(2026, 5, 1, tzinfo=UTC)
        return ToyView(id=TOY, owner=body.owner, amount=body.amount, due=moment)

    router.post("", status_code=201, summary="Order a toy")(order_toy)
    router.post("/new", status_code=201, summary="Order a toy", operation_id="orderNewToy")(
        order_toy
    )

    @router.get("", summary="List toys")
    async def listed(
        owner: Annotated[str | None, Text(1, 20)] = None, status: Literal["new", "old"] = "new"
    ) -> list[str]:
        return [owner or "", status]

    @router.get("/{toy_id}", summary="A toy", responses=problem_responses(404, BROKEN))
    async def one(toy_id: UuidId, wait: WaitSeconds = 0) -> float:
        return wait

    @router.get("/numbered/{number}", summary="A numbered toy")
    async def numbered(number: IntId) -> int:
        return number

    @router.post("/{toy_id}/break", summary="Break it")
    async def broken(toy_id: UUID) -> None:
        raise ToyIsBroken(toy_id, ["mend"])

    @router.get("/crashes/{kind}", summary="Whatever goes wrong")
    async def crashes(kind: str) -> None:
        if kind == "database":
            raise psycopg.OperationalError("server at 10.0.0.1 closed the connection")
        raise RuntimeError("SELECT secret FROM somewhere")

    return router


@pytest.fixture
def metrics() -> HttpMetrics:
    return HttpMetrics(CollectorRegistry())


@pytest.fixture
def toy_app(metrics: HttpMetrics) -> ServiceApp:
    async def up() -> None: ...

    return create_app(
        title="toys",
        version="1",
        description="Toys.",
        routers=[toy_router()],
        problems={ToyIsBroken: BROKEN},
        health=Health({"database": up}),
        metrics=metrics,
    )


@pytest.fixture
async def client(toy_app: ServiceApp) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(toy_app)
    async with httpx.AsyncClient(transport=transport, base_url="http://toys") as client:
        yield client

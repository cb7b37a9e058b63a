"""A small service that keeps a ledger: what every promise about idempotency keys is shown on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx
from fastapi import Response
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from sqlalchemy import Column, MetaData, Numeric, Table, Text, Uuid, func, insert, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servicekit.http import fields
from servicekit.http.app import KEY_LIFETIME, ServiceApp, create_app
from servicekit.http.idempotency import Answer, Once
from servicekit.http.idempotency_keys import create_idempotency_keys
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router
from servicekit.observe.metrics import HttpMetrics

METADATA = MetaData()
entries = Table(
    "entries",
    METADATA,
    Column("id", Uuid, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("amount", Numeric(12, 2), nullable=False),
)


class AddEntry(BaseModel):
    owner: Annotated[str, fields.Text(1, 20)]
    amount: fields.Money
    notes: dict[str, object] = {}


class EntryView(BaseModel):
    id: UUID
    owner: str
    amount: fields.Money


class Refused(Exception):
    """The ledger takes no entry now."""


@dataclass
class Unit:
    connection: AsyncConnection


@dataclass
class Ledger:
    """The ledger and the ways to disturb it."""

    engine: AsyncEngine
    refuse: Exception | None = None
    pause: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    drop_answers: bool = False
    short: int = 0

    @asynccontextmanager
    async def shorter(self) -> AsyncIterator[None]:
        self.short += 1
        yield

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Unit]:
        async with self.engine.begin() as connection:
            yield Unit(connection)

    async def add(self, unit: Unit, owner: str, amount: Decimal) -> EntryView:
        """Write first, then wait and fail as told: what fails leaves nothing."""
        row = {"id": uuid4(), "owner": owner, "amount": amount}
        await unit.connection.execute(insert(entries), row)
        self.entered.set()
        if self.pause is not None:
            await self.pause.wait()
        if self.refuse is not None:
            raise self.refuse
        return EntryView.model_validate(row)

    async def count(self, table: str = "entries") -> int:
        async with self.engine.connect() as connection:
            rows = await connection.execute(select(func.count()).select_from(text(table)))
            return int(rows.scalar_one())


def router(ledger: Ledger) -> Router:
    router = Router(prefix="/entries")

    async def add(body: AddEntry, once: Once, *, draft: bool = False) -> Response:
        async def act(unit: Unit) -> Answer:
            entry = await ledger.add(unit, body.owner, body.amount)
            return Answer(entry, {"Location": f"/api/v1/entries/{entry.id}", "ETag": '"1"'})

        return await once.run(ledger.begin, act)

    for path, name in (("", "add"), ("/new", "add_new")):
        router.post(path, status_code=201, name=name, summary="Add", response_model=EntryView)(add)

    @router.post("/short", status_code=201, summary="Add", response_model=EntryView)
    async def add_short(body: AddEntry, once: Once) -> Response:
        async def act(unit: Unit | None) -> Answer:
            if unit is not None:
                return Answer(await ledger.add(unit, body.owner, body.amount))
            return Answer(EntryView(id=uuid4(), owner=body.owner, amount=body.amount))

        return await once.run(ledger.begin, act, without_key=ledger.shorter)

    @router.patch("/{entry_id}", summary="Change", response_model=EntryView)
    async def change(entry_id: UUID, body: AddEntry, once: Once) -> Response:
        async def act(unit: Unit) -> Answer:
            return Answer(await ledger.add(unit, body.owner, body.amount))

        return await once.run(ledger.begin, act)

    @router.post("/{entry_id}/double", status_code=204, summary="Double")
    async def double(entry_id: UUID, once: Once) -> Response:
        async def act(unit: Unit) -> Answer:
            await ledger.add(unit, str(entry_id)[:20], Decimal(1))
            return Answer(None)

        return await once.run(ledger.begin, act)

    return router


class LosesAnswers:
    """The process dies after its commit, as seen by the caller: no answer comes."""

    def __init__(self, app: ASGIApp, ledger: Ledger) -> None:
        self.app = app
        self.ledger = ledger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def lossy(message: Message) -> None:
            if not self.ledger.drop_answers:
                await send(message)

        await self.app(scope, receive, lossy)


def build(ledger: Ledger, key_lifetime: timedelta = KEY_LIFETIME) -> ServiceApp:
    return create_app(
        title="ledger",
        version="1",
        description="A ledger.",
        routers=[router(ledger)],
        problems={Refused: ProblemSpec(409, "refused")},
        metrics=HttpMetrics(CollectorRegistry()),
        key_lifetime=key_lifetime,
    )


async def create_tables(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(METADATA.create_all)
        await connection.run_sync(create_idempotency_keys)


def client(app: ASGIApp) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://ledger/api/v1")


ENTRY: dict[str, Any] = {"owner": "o", "amount": "1.50"}

"""A small service that keeps a ledger: what every promise about idempotency keys is shown on."""

from __future__ import annotations

import asyncio
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
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from outbox import Notifier, Outbox, UnitOfWork, Work
from servicekit.http import fields
from servicekit.http.app import KEY_LIFETIME, ServiceApp, create_app
from servicekit.http.idempotency import Once
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
class Ledger:
    """The ledger and the ways to disturb it."""

    engine: AsyncEngine
    refuse: Exception | None = None
    pause: asyncio.Event | None = None
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    drop_answers: bool = False
    work: Work = field(init=False)

    def __post_init__(self) -> None:
        self.work = Work(self.engine, Outbox("ledger"), Notifier(self.engine))

    def elsewhere(self) -> Ledger:
        """The same ledger in another process, which nothing disturbs."""
        return Ledger(self.engine)

    async def add(self, unit: UnitOfWork, owner: str, amount: Decimal) -> EntryView:
        """Write first, then wait and fail as told: what fails leaves nothing."""
        row = {"id": uuid4(), "owner": owner, "amount": amount}
        await unit.connection.execute(insert(entries), row)
        return await self._entered(row)

    async def write(self, unit: UnitOfWork, owner: str, amount: Decimal) -> EntryView:
        """The same without a statement that has an answer."""
        row = {"id": uuid4(), "owner": owner, "amount": amount}
        await unit.send("INSERT INTO entries VALUES (%(id)s, %(owner)s, %(amount)s)", row)
        return await self._entered(row)

    async def _entered(self, row: dict[str, object]) -> EntryView:
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
        async with once.begin(ledger.work) as unit:
            entry = await ledger.add(unit, body.owner, body.amount)
            location = f"/api/v1/entries/{entry.id}"
            return once.answer(entry, {"Location": location, "ETag": '"1"'})

    for path, name in (("", "add"), ("/new", "add_new")):
        router.post(path, status_code=201, name=name, summary="Add", response_model=EntryView)(add)

    @router.post("/written", status_code=201, summary="Add", response_model=EntryView)
    async def only_write(body: AddEntry, once: Once) -> Response:
        async with once.begin(ledger.work) as unit:
            return once.answer(await ledger.write(unit, body.owner, body.amount))

    @router.post("/silent", status_code=201, summary="Add", response_model=EntryView)
    async def give_no_answer(body: AddEntry, once: Once) -> EntryView:
        async with once.begin(ledger.work) as unit:
            return await ledger.write(unit, body.owner, body.amount)

    @router.patch("/{entry_id}", summary="Change", response_model=EntryView)
    async def change(entry_id: UUID, body: AddEntry, once: Once) -> Response:
        async with once.begin(ledger.work) as unit:
            return once.answer(await ledger.add(unit, body.owner, body.amount))

    @router.post("/{entry_id}/double", status_code=204, summary="Double")
    async def double(entry_id: UUID, once: Once) -> Response:
        async with once.begin(ledger.work) as unit:
            await ledger.add(unit, str(entry_id)[:20], Decimal(1))
            return once.answer(None)

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

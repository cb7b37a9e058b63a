"""The API: an order and its event are one transaction. It never talks to RabbitMQ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from events import OrderPlaced
from outbox import Notifier
from tables import DATABASE_URL, SQLALCHEMY_URL, Order, outbox

engine = create_async_engine(SQLALCHEMY_URL)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Notifier(DATABASE_URL) as app.state.notifier:
        yield
    await engine.dispose()


app = FastAPI(title="shop", lifespan=lifespan)


class NewOrder(BaseModel):
    meal: str


class PlacedOrder(BaseModel):
    id: int
    meal: str


@app.post("/orders", status_code=201)
async def place_order(body: NewOrder, request: Request) -> PlacedOrder:
    async with AsyncSession(engine, expire_on_commit=False) as session, session.begin():
        order = Order(meal=body.meal)
        session.add(order)
        await session.flush()
        await outbox.add(session, OrderPlaced(order.id, order.meal))
    # After the commit: the relay publishes at once and does not wait for its next poll (up to 1 s).
    request.app.state.notifier.ring()
    return PlacedOrder(id=order.id, meal=order.meal)

"""Fulfilment from stock: all lines or none, never below nothing, given back once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from contracts import Contract
from contracts.orders import OrderCancelled, OrderCreated, OrderedProduct
from outbox import Envelope, Inbox, Stream, Work
from service_processor.domains.orders import repository
from service_processor.domains.orders.handlers import handlers
from service_processor.domains.orders.inventory import Inventory
from service_processor.domains.orders.policy import Simulated
from service_processor.domains.orders.service import Fulfilment


@pytest.fixture
async def inbox(work: Work) -> Inbox:
    async with work.begin() as unit:
        for product_id in ("p", "q"):
            await repository.set_stock(unit.connection, product_id, 10)
    return Inbox("processor.orders", handlers(Fulfilment(Inventory())), work)


async def deliver(inbox: Inbox, event: Contract, sequence: int = 1) -> None:
    stream = Stream("service-orders", "order", event.aggregate_id)
    now = datetime.now(UTC)
    envelope = Envelope(uuid7(), stream, sequence, event.type, 1, now, event.payload(), "c")
    await inbox.handle([envelope])


async def place_order(inbox: Inbox, **quantities: int) -> UUID:
    order_id = uuid7()
    lines = tuple(OrderedProduct(product_id=p, quantity=n) for p, n in quantities.items())
    created = OrderCreated(
        order_id=order_id,
        user_id="u",
        products=lines,
        amount=Decimal(1),
        created_at=datetime.now(UTC),
    )
    await deliver(inbox, created)
    return order_id


async def cancel(inbox: Inbox, order_id: UUID) -> None:
    event = OrderCancelled(order_id=order_id, cancelled_at=datetime.now(UTC))
    await deliver(inbox, event, sequence=2)


async def stock(work: Work) -> dict[str, int]:
    async with work.engine.connect() as connection:
        return await repository.locked_stock(connection, ["p", "q"])


async def outcome(work: Work, order_id: UUID) -> tuple[str, str | None]:
    async with work.engine.connect() as connection:
        found = await connection.execute(
            text("SELECT outcome, reason FROM fulfilments WHERE order_id = :id"), {"id": order_id}
        )
        [(outcome, reason)] = found.all()
        return outcome, reason


async def test_an_order_reserves_what_it_needs(inbox: Inbox, work: Work) -> None:
    order_id = await place_order(inbox, p=3, q=10)
    assert await outcome(work, order_id) == ("COMPLETED", None)
    assert await stock(work) == {"p": 7, "q": 0}


async def test_an_order_that_is_short_of_one_product_reserves_none(
    inbox: Inbox, work: Work
) -> None:
    order_id = await place_order(inbox, p=3, q=11)
    assert await outcome(work, order_id) == ("FAILED", "too little stock of q")
    assert await stock(work) == {"p": 10, "q": 10}


async def test_an_unknown_product_fails_the_order(inbox: Inbox, work: Work) -> None:
    order_id = await place_order(inbox, p=3, x=1)
    assert await outcome(work, order_id) == ("FAILED", "unknown product x")


async def test_cancelling_releases_what_the_order_reserved(inbox: Inbox, work: Work) -> None:
    kept = await place_order(inbox, p=1)
    cancelled = await place_order(inbox, p=2, q=2)
    await cancel(inbox, cancelled)
    assert await stock(work) == {"p": 9, "q": 10}
    failed = await place_order(inbox, p=100)
    await cancel(inbox, failed)
    assert await stock(work) == {"p": 9, "q": 10}
    assert await outcome(work, kept) == ("COMPLETED", None)


async def test_stock_is_released_under_any_later_policy(inbox: Inbox, work: Work) -> None:
    cancelled = await place_order(inbox, p=2, q=2)
    since = Inbox("processor.orders", handlers(Fulfilment(Simulated(1))), work)
    await cancel(since, cancelled)
    assert await stock(work) == {"p": 10, "q": 10}


async def test_stock_never_goes_below_nothing_under_concurrency(inbox: Inbox, work: Work) -> None:
    orders = await asyncio.gather(*(place_order(inbox, p=1, q=2) for _ in range(20)))
    ends = [await outcome(work, order_id) for order_id in orders]
    assert sum(end == ("COMPLETED", None) for end in ends) == 5
    assert await stock(work) == {"p": 5, "q": 0}

"""Fulfilment from stock: all lines or none, never below nothing, given back once."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from sqlalchemy import text
from uuid_utils.compat import uuid7

from contracts.orders import PROCESSOR_ORDERS, OrderCancelled, OrderCreated, OrderedProduct
from kit.services.service import Service
from outbox import Work
from service_processor.domains.orders import repository
from service_processor.domains.orders.handlers import handlers
from service_processor.domains.orders.inventory import Inventory
from service_processor.domains.orders.policy import Simulated
from service_processor.domains.orders.service import Fulfilment

MANY_PRODUCTS = """
ALTER TABLE products SET (autovacuum_enabled = off);
ALTER TABLE reserved_lines SET (autovacuum_enabled = off);
INSERT INTO products SELECT 'x' || n, 1 FROM generate_series(1, 20000) n;
INSERT INTO reserved_lines (order_id, product_id, quantity)
SELECT gen_random_uuid(), 'x' || n, 1 FROM generate_series(1, 20000) n
"""
PRODUCTS_READ = text("""
SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'products'
""")


@pytest.fixture
async def stocked(service: Service) -> Service:
    """Orders are fulfilled from ten pieces of each product."""
    async with service.work.begin() as unit:
        for product_id in ("p", "q"):
            await repository.set_stock(unit.connection, product_id, 10)
    return service.with_handlers(PROCESSOR_ORDERS.queue, handlers(Fulfilment(Inventory())))


def order(**quantities: int) -> OrderCreated:
    lines = tuple(OrderedProduct(product_id=p, quantity=n) for p, n in quantities.items())
    return OrderCreated(
        order_id=uuid7(),
        user_id="u",
        products=lines,
        amount=Decimal(1),
        created_at=datetime.now(UTC),
    )


async def place_order(service: Service, **quantities: int) -> UUID:
    created = order(**quantities)
    await service.receive(created)
    return created.order_id


async def cancel(service: Service, *order_ids: UUID) -> None:
    now = datetime.now(UTC)
    await service.receive(*(OrderCancelled(order_id=id_, cancelled_at=now) for id_ in order_ids))


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


async def test_an_order_reserves_what_it_needs(stocked: Service, work: Work) -> None:
    order_id = await place_order(stocked, p=3, q=10)
    assert await outcome(work, order_id) == ("COMPLETED", None)
    assert await stock(work) == {"p": 7, "q": 0}


async def test_an_order_that_is_short_of_one_product_reserves_none(
    stocked: Service, work: Work
) -> None:
    order_id = await place_order(stocked, p=3, q=11)
    assert await outcome(work, order_id) == ("FAILED", "too little stock of q")
    assert await stock(work) == {"p": 10, "q": 10}


async def test_of_the_orders_of_a_batch_earlier_ones_are_served_first(
    stocked: Service, work: Work
) -> None:
    orders = [order(p=4), order(p=7, q=1), order(p=6, q=2), order(p=1)]
    await stocked.receive(*orders)
    assert [await outcome(work, one.order_id) for one in orders] == [
        ("COMPLETED", None),
        ("FAILED", "too little stock of p"),
        ("COMPLETED", None),
        ("FAILED", "too little stock of p"),
    ]
    assert await stock(work) == {"p": 0, "q": 8}


async def test_an_unknown_product_fails_the_order(stocked: Service, work: Work) -> None:
    order_id = await place_order(stocked, p=3, x=1)
    assert await outcome(work, order_id) == ("FAILED", "unknown product x")


async def test_cancelling_releases_what_the_order_reserved(stocked: Service, work: Work) -> None:
    kept = await place_order(stocked, p=1)
    cancelled = await place_order(stocked, p=2, q=2)
    await cancel(stocked, cancelled)
    assert await stock(work) == {"p": 9, "q": 10}
    failed = await place_order(stocked, p=100)
    await cancel(stocked, failed)
    assert await stock(work) == {"p": 9, "q": 10}
    assert await outcome(work, kept) == ("COMPLETED", None)


async def test_a_batch_of_cancellations_releases_the_sum_of_its_orders(
    stocked: Service, work: Work
) -> None:
    orders = [await place_order(stocked, p=1, q=2), await place_order(stocked, p=2)]
    kept, failed = await place_order(stocked, p=3), await place_order(stocked, p=100)
    await cancel(stocked, *orders, failed)
    assert await stock(work) == {"p": 7, "q": 10}
    async with work.engine.connect() as connection:
        open_ones = text("SELECT order_id FROM fulfilments WHERE cancelled_at IS NULL")
        assert (await connection.execute(open_ones)).scalars().all() == [kept]


async def test_stock_is_released_under_any_later_policy(stocked: Service, work: Work) -> None:
    cancelled = await place_order(stocked, p=2, q=2)
    since = stocked.with_handlers(PROCESSOR_ORDERS.queue, handlers(Fulfilment(Simulated(1))))
    await cancel(since, cancelled)
    assert await stock(work) == {"p": 10, "q": 10}


async def test_stock_never_goes_below_nothing_under_concurrency(
    stocked: Service, work: Work
) -> None:
    orders = await asyncio.gather(*(place_order(stocked, p=1, q=2) for _ in range(20)))
    ends = [await outcome(work, order_id) for order_id in orders]
    assert sum(end == ("COMPLETED", None) for end in ends) == 5
    assert await stock(work) == {"p": 5, "q": 0}


async def test_a_released_order_reads_its_own_products_before_there_are_statistics(
    stocked: Service,
) -> None:
    async with stocked.work.engine.begin() as connection:
        for statement in MANY_PRODUCTS.split(";"):
            await connection.execute(text(statement))
    placed = await place_order(stocked, p=1)
    async with stocked.work.begin() as unit:
        await repository.release(unit, [placed])
        read = (await unit.connection.execute(PRODUCTS_READ)).scalar_one()
    assert await stock(stocked.work) == {"p": 10, "q": 10}
    assert read < 100

"""Lists of orders: complete, newest first, and served by an index."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.dialects import postgresql

from kit.services.service import Service
from service_orders.domains.orders import repository
from service_orders.domains.orders.states import OrderStatus
from servicekit.http.pagination import PageRequest


async def place_order(service: Service, user_id: str) -> str:
    body = {"user_id": user_id, "products": [{"product_id": "p", "quantity": 1}], "amount": 1}
    answer = await service.http.post("/api/v1/orders", json=body)
    return str(answer.json()["id"])


async def listed(service: Service, **query: Any) -> list[str]:
    return [order["id"] for order in await service.listed("/api/v1/orders", **query)]


async def test_pages_hold_every_order_once_newest_first(service: Service) -> None:
    placed = [await place_order(service, f"u{n % 2}") for n in range(7)]
    assert await listed(service, limit=3) == placed[::-1]
    assert await listed(service, limit=2, user_id="u0") == placed[::2][::-1]


async def test_orders_are_found_by_status(service: Service) -> None:
    first, second = [await place_order(service, "u") for _ in range(2)]
    await service.http.post(f"/api/v1/orders/{first}/cancel")
    assert await listed(service, status="CANCELLED") == [first]
    assert await listed(service, status="CREATED", user_id="u") == [second]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "x"},
        {"status": "LOST"},
        {"cursor": "garbage"},
        {"cursor": ""},
        {"user_id": ""},
    ],
)
async def test_a_malformed_query_is_refused(service: Service, query: dict[str, str]) -> None:
    answer = await service.http.get("/api/v1/orders", params=query)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize(
    ("user_id", "status", "index"),
    [
        (None, None, "orders_pkey"),
        ("u", None, "orders_by_user"),
        (None, OrderStatus.CREATED, "orders_by_status"),
        ("u", OrderStatus.CREATED, "orders_by_user_and_status"),
    ],
)
async def test_every_list_is_served_by_an_index(
    service: Service, user_id: str | None, status: OrderStatus | None, index: str
) -> None:
    async with service.work.begin() as unit:
        await unit.connection.execute(text(MANY_ORDERS))
    wanted = repository.ROWS.filtered(user_id=user_id, status=status)
    statement = repository.ROWS.newest_first.select(wanted, PageRequest())
    query = statement.compile(
        dialect=postgresql.dialect(),  # type: ignore[no-untyped-call]
        compile_kwargs={"literal_binds": True},
    )
    async with service.work.begin() as unit:
        await unit.connection.execute(text("ANALYZE orders"))
        plan = (await unit.connection.exec_driver_sql(f"EXPLAIN {query}")).scalars().all()
    assert any(index in line for line in plan), plan
    assert not any("Seq Scan" in line for line in plan), plan


MANY_ORDERS = """
INSERT INTO orders (id, user_id, amount, status, created_at, updated_at)
SELECT gen_random_uuid(), CASE WHEN n % 100 = 0 THEN 'u' ELSE 'u' || n END, 1,
       CASE WHEN n % 50 = 0 THEN 'CREATED' ELSE 'COMPLETED' END, now(), now()
  FROM generate_series(1, 20000) n
"""

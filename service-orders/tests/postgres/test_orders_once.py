"""Idempotency keys of orders: the order, its event and its key are one transaction."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from sqlalchemy import text

from kit.services.service import Service
from service_orders.domains.orders.schemas import PlaceOrder

ROUNDS, AT_ONCE = 20, 50
EXAMPLE = PlaceOrder.model_config["json_schema_extra"]["examples"][0]  # type: ignore[index]


async def counts(service: Service) -> list[int]:
    async with service.work.read() as connection:
        return [
            (await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one()
            for table in ("orders", "order_history", "outbox", "idempotency_keys")
        ]


@pytest.mark.usefixtures("patience")
async def test_one_key_many_times_at_once_is_one_order_and_one_event(service: Service) -> None:
    for number in range(1, ROUNDS + 1):
        headers = {"Idempotency-Key": f"round-{number}"}
        answers = await asyncio.gather(
            *(
                service.http.post("/api/v1/orders", json=EXAMPLE, headers=headers)
                for _ in range(AT_ONCE)
            )
        )
        statuses = Counter(answer.status_code for answer in answers)
        assert set(statuses) <= {201, 409}
        assert len({a.content for a in answers if a.status_code == 201}) == 1
        assert await counts(service) == [number] * 4


@pytest.mark.parametrize("path", ["/orders", "/orders/new/"])
async def test_an_order_is_placed_once_per_key(service: Service, path: str) -> None:
    headers = {"Idempotency-Key": "k"}
    first, again = [
        await service.http.post(f"/api/v1{path}", json=EXAMPLE, headers=headers) for _ in range(2)
    ]
    assert (first.content, first.headers["Location"]) == (again.content, again.headers["Location"])
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (await service.http.get(first.headers["Location"])).json() == first.json()
    assert await counts(service) == [1] * 4


async def test_cancelling_again_with_the_same_key_is_the_same_success(service: Service) -> None:
    order = (await service.http.post("/api/v1/orders", json=EXAMPLE)).json()
    cancel = f"/api/v1/orders/{order['id']}/cancel"
    headers = {"Idempotency-Key": "k"}
    first, again = [await service.http.post(cancel, headers=headers) for _ in range(2)]
    assert (first.status_code, first.content) == (again.status_code, again.content)
    assert (await service.http.post(cancel)).json()["code"] == "illegal_transition"


async def test_every_post_and_patch_honours_a_key(service: Service) -> None:
    document = (await service.http.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method in operations.keys() & {"post", "patch"}:
            names = {one["name"] for one in operations[method].get("parameters", ())}
            assert "Idempotency-Key" in names, (method, path)

"""Stock over HTTP: every product that an order may name can be reached, and no other by mistake."""

from __future__ import annotations

import pytest

from kit.services.service import Service


@pytest.mark.parametrize("sent", ["a%2F", "a%2F/", "%2Fa", "a%2Fb", "a%2fb/", "%2F", "a%252F", "ä"])
async def test_the_stock_of_one_product_leaves_all_others_alone(
    service: Service, sent: str
) -> None:
    await service.http.put("products/a", json={"stock": 1})
    answer = await service.http.put(f"products/{sent}", json={"stock": 5})
    assert answer.status_code == 200
    assert (await service.http.get(f"products/{sent}")).json() == answer.json()
    assert answer.json()["stock"] == 5
    assert (await service.http.get("products/a")).json() == {"product_id": "a", "stock": 1}


@pytest.mark.parametrize(
    ("sent", "product_id"), [("a%2F", "a/"), ("a%2F/", "a/"), ("a%2Fb", "a/b"), ("a/b/", "a/b")]
)
async def test_a_slash_in_a_product_is_part_of_its_name(
    service: Service, sent: str, product_id: str
) -> None:
    answer = await service.http.put(f"products/{sent}", json={"stock": 5})
    assert answer.json() == {"product_id": product_id, "stock": 5}

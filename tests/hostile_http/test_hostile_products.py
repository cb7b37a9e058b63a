"""Products are as strict as orders: 4xx problems, and no row."""

from __future__ import annotations

import pytest

from kit.http.hostile import (
    NOT_JSON,
    TOO_MUCH,
    UNSTORABLE,
    Refusal,
    an_object,
    assert_problem,
    invalid,
)
from kit.http.live_services import Live
from kit.http.raw import exchange, request

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

JSON = b"Content-Type: application/json"
PRODUCT = b"/api/v1/products/p"
STOCKS: list[Refusal] = [
    *((name, body, 400, "malformed_json") for name, body in NOT_JSON),
    *invalid(TOO_MUCH),
    *invalid(
        (f"stock is {text}", an_object({"stock": text}))
        for text in ("-1", "1.0", "true", '"1"', "null", "[]", "1000000000001", "1e3")
    ),
    *invalid((name, an_object({"stock": text})) for name, text in UNSTORABLE),
    *invalid(
        (f"{name} in passing", an_object({"stock": "1", "x": text})) for name, text in UNSTORABLE
    ),
]
PRODUCTS: tuple[tuple[bytes, int, str], ...] = (
    (b"/api/v1/products/%00", 422, "validation_failed"),
    (b"/api/v1/products/" + b"x" * 256, 422, "validation_failed"),
    (b"/api/v1/products/unknown", 404, "product_not_found"),
    (b"/api/v1/products/%ff", 422, "validation_failed"),
    (b"/api/v1/products/a%1b[2J", 422, "validation_failed"),
    (b"/api/v1/products/%E2%80%AEa", 422, "validation_failed"),
    (b"/api/v1/products/" + b"%F0%9F%98%80" * 255, 404, "product_not_found"),
    (b"/api/v1/products/", 404, "not_found"),
    (b"/api/v1/products//", 422, "validation_failed"),
    (b"/api/v1/products/a%2fb", 404, "product_not_found"),
    (b"/api/v1/products/..%2f..%2fhealth", 404, "product_not_found"),
    (b"/api/v1/orders", 404, "not_found"),
)


@pytest.mark.parametrize(
    ("body", "status", "code"), [s[1:] for s in STOCKS], ids=[s[0] for s in STOCKS]
)
def test_a_hostile_stock_is_refused(processor: Live, body: bytes, status: int, code: str) -> None:
    assert_problem(exchange(processor, request("PUT", PRODUCT, JSON, body=body)), status, code)


@pytest.mark.parametrize(("target", "status", "code"), PRODUCTS)
def test_a_hostile_product_is_refused(
    processor: Live, target: bytes, status: int, code: str
) -> None:
    assert_problem(exchange(processor, request("GET", target)), status, code)


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "POST", "PATCH", "DELETE"])
def test_another_method_on_a_product_is_refused(processor: Live, method: str) -> None:
    refused = exchange(processor, request(method, PRODUCT), method)
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD, PUT")

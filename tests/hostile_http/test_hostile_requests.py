"""Whatever is sent as an order is refused by a 4xx problem and leaves nothing behind."""

from __future__ import annotations

from uuid import UUID

import pytest

from kit.http.hostile import (
    CONTENT_TYPES,
    NOT_AN_OBJECT,
    NOT_JSON,
    TOO_MUCH,
    UNSTORABLE,
    WRONG_MONEY,
    WRONG_QUANTITIES,
    WRONG_TEXTS,
    Refusal,
    an_object,
    assert_problem,
    invalid,
)
from kit.http.live_services import Live
from kit.http.raw import answer, chunked, connection, exchange, request, send

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

ORDERS = b"/api/v1/orders"
JSON = b"Content-Type: application/json"
MIB = 1024 * 1024


def order(**changes: str) -> bytes:
    """A good order with members replaced by JSON text."""
    members = {"user_id": '"u"', "products": '[{"product_id":"p","quantity":1}]', "amount": '"1"'}
    return an_object(members | changes)


def line(**changes: str) -> bytes:
    return order(products=f"[{a_line(**changes)}]")


def a_line(**changes: str) -> str:
    return an_object({"product_id": '"p"', "quantity": "1"} | changes).decode()


def many(count: int) -> bytes:
    lines = (a_line(product_id=f'"{number}"') for number in range(count))
    return order(products=f"[{','.join(lines)}]")


HALF = a_line(quantity="600000")
OTHERS: tuple[tuple[str, bytes], ...] = (
    ("nothing", b""),
    ("an empty object", b"{}"),
    ("no products", order(products="[]")),
    ("products that are an object", order(products=a_line())),
    ("products that are null", order(products="null")),
    ("products in a list in a list", order(products=f"[[{a_line()}]]")),
    ("a line that is null", order(products="[null]")),
    ("501 products", many(501)),
    ("20,000 products", many(20_000)),
    ("members in capitals", order().upper()),
)
POSTS: list[Refusal] = [
    *((name, body, 400, "malformed_json") for name, body in NOT_JSON),
    *invalid(OTHERS),
    *invalid(TOO_MUCH),
    *invalid((name, text.encode()) for name, text in NOT_AN_OBJECT),
    *invalid((f"{name} in passing", order(note=text)) for name, text in UNSTORABLE),
    *invalid((f"{name} as user", order(user_id=text)) for name, text in UNSTORABLE + WRONG_TEXTS),
    *invalid((f"{name} as product", line(product_id=text)) for name, text in WRONG_TEXTS),
    *invalid((name, order(amount=text)) for name, text in WRONG_MONEY),
    *invalid((name, line(quantity=text)) for name, text in WRONG_QUANTITIES),
    ("too many in sum", order(products=f"[{HALF},{HALF}]"), 422, "too_many_of_one_product"),
    ("a byte more than 1 MiB", order() + b" " * (MIB + 1 - len(order())), 413, "body_too_large"),
    ("5 MiB", order(note='"' + "x" * 5 * MIB + '"'), 413, "body_too_large"),
]


UNSEEN = (
    *("\\r\\nBcc: x", "\\u001b[2J", "\\u0085", "\\u202e", "\\u2066", "\\u2028", "\\u007f"),
    *("\\u061c", "\\u200b", "\\u200e", "\\u200f", "\\u2060", "\\ufeff"),
)
KEYS: tuple[tuple[bytes, ...], ...] = (
    (b"",),
    (b"x" * 256,),
    (b"a b",),
    (b"a\tb",),
    (b"\xe9",),
    ("\N{SNOWMAN}".encode(),),
    (b"a", b"b"),
)


@pytest.mark.parametrize(
    ("body", "status", "code"), [p[1:] for p in POSTS], ids=[p[0] for p in POSTS]
)
def test_a_hostile_order_is_refused(orders: Live, body: bytes, status: int, code: str) -> None:
    key = b"Idempotency-Key: hostile"
    assert_problem(exchange(orders, request("POST", ORDERS, JSON, key, body=body)), status, code)


@pytest.mark.parametrize("path", [b"/new", b"/new/", b"/"])
def test_every_path_of_an_order_is_as_strict(orders: Live, path: bytes) -> None:
    body = order(amount="NaN")
    refused = exchange(orders, request("POST", ORDERS + path, JSON, body=body))
    assert_problem(refused, 422, "validation_failed")


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_another_content_type_is_refused(orders: Live, content_type: str) -> None:
    header = b"Content-Type: " + content_type.encode()
    refused = exchange(orders, request("POST", ORDERS, header, body=order()))
    assert_problem(refused, 415, "unsupported_media_type")


@pytest.mark.parametrize("encoding", [b"gzip", b"br", b"identity, gzip", b"\xff"])
def test_a_compressed_order_is_refused(orders: Live, encoding: bytes) -> None:
    header = b"Content-Encoding: " + encoding
    refused = exchange(orders, request("POST", ORDERS, JSON, header, body=order()))
    assert_problem(refused, 415, "unsupported_media_type")


def test_another_charset_is_refused(orders: Live) -> None:
    header = b"Content-Type: application/json; charset=utf-16"
    body = order().decode().encode("utf-16")
    refused = exchange(orders, request("POST", ORDERS, header, body=body))
    assert_problem(refused, 415, "unsupported_media_type")


@pytest.mark.parametrize("unseen", UNSEEN)
def test_what_is_not_seen_is_refused_in_a_line(orders: Live, unseen: str) -> None:
    user = order(user_id=f'"u{unseen}"')
    subject = an_object({"subject": f'"s{unseen}"', "text": '"t"', "email": '"a@b"'})
    for target, body in ((ORDERS, user), (b"/api/v1/tickets", subject)):
        refused = exchange(orders, request("POST", target, JSON, body=body))
        assert "Control characters" in str(assert_problem(refused, 422, "validation_failed"))


@pytest.mark.parametrize("keys", KEYS)
def test_a_malformed_key_is_refused(orders: Live, keys: tuple[bytes, ...]) -> None:
    headers = [b"Idempotency-Key: " + key for key in keys]
    refused = exchange(orders, request("POST", ORDERS, JSON, *headers, body=order()))
    assert_problem(refused, 422, "validation_failed")


def test_a_chunked_body_is_limited_as_well(orders: Live) -> None:
    body = order(note='"' + "x" * 2 * MIB + '"')
    refused = exchange(orders, chunked("POST", ORDERS, JSON, body=body))
    assert_problem(refused, 413, "body_too_large")


def test_a_chunked_body_is_read_as_strictly(orders: Live) -> None:
    refused = exchange(orders, chunked("POST", ORDERS, JSON, body=order(amount="1e400"), size=1))
    assert_problem(refused, 422, "validation_failed")


@pytest.mark.parametrize("order_id", ["0", "%00", "new", str(UUID(int=7))])
def test_what_cannot_be_found_cannot_be_cancelled(orders: Live, order_id: str) -> None:
    target = f"/api/v1/orders/{order_id}/cancel".encode()
    refused = exchange(orders, request("POST", target, b"Idempotency-Key: hostile"))
    found = order_id == str(UUID(int=7))
    assert_problem(refused, *((404, "order_not_found") if found else (422, "validation_failed")))


def test_a_refusal_costs_nobody_his_connection(orders: Live) -> None:
    with connection(orders) as connected:
        for refused in (order(amount="NaN"), b"{", b"[" * 100_000):
            send(connected, request("POST", ORDERS, JSON, body=refused))
            assert answer(connected).status_code in (400, 422)
        send(connected, request("GET", ORDERS))
        assert answer(connected).status_code == 200

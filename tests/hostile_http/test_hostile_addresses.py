"""Whatever is asked for, by whatever method, is refused by a 4xx problem."""

from __future__ import annotations

import base64
from uuid import UUID

import pytest

from kit.http.hostile import WRONG_WAITS, assert_problem
from kit.http.live_services import Live
from kit.http.raw import answer, connection, exchange, request, send

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

ORDERS, ORDER = b"/api/v1/orders", b"/api/v1/orders/" + str(UUID(int=7)).encode()


def cursor(text: str) -> bytes:
    """A cursor as it is made, of this text."""
    return b"?cursor=" + base64.urlsafe_b64encode(text.encode()).rstrip(b"=")


QUERIES: tuple[bytes, ...] = (
    *(
        b"?limit=" + limit
        for limit in (b"", b"0", b"-1", b"101", b"1.5", b"ten", b"1e1", b"9" * 5000)
    ),
    *(b"?status=" + status for status in (b"", b"created", b"NEW", b"CREATED,FAILED", b"*")),
    *(b"?user_id=" + user for user in (b"", b"x" * 256, b"%00", b"a%00b")),
    *(b"?cursor=" + text for text in (b"", b"x", b"%", b"%25", b"..%2f..", b"x" * 513, b"A" * 512)),
    cursor("[]"),
    cursor("null"),
    cursor('{"a":1}'),
    cursor('[1,"no uuid"]'),
    cursor("[1,7]"),
    cursor(f'[2,"{UUID(int=7)}"]'),
    cursor(f'[1,"{UUID(int=7)}","{UUID(int=7)}"]'),
    cursor("[" * 300),
    cursor('[1,"\' OR 1=1 --"]'),
    *(b"?limit=" + limit for limit in (b"1_0", b"%2010", b"+1", b"010", b"1&limit=1")),
    b"?user_id=%ff",
    b"?x=%00",
)
TARGETS: list[tuple[str, bytes, int, str]] = [
    *(
        (f"list{query.decode()[:30]}", ORDERS + query, 422, "validation_failed")
        for query in QUERIES
    ),
    *(
        (f"wait {wait or 'nothing'}", ORDER + tail + wait.encode(), 422, "validation_failed")
        for tail in (b"?wait=", b"/status?wait=")
        for wait in WRONG_WAITS
    ),
    *(
        (f"id {part.decode('latin-1')[:30]}", ORDERS + b"/" + part, 422, "validation_failed")
        for part in (
            b"0",
            b"null",
            b"%20",
            b"%00",
            b"%ff",
            b"%ed%a0%80",
            b"%",
            b"%zz",
            b"%2500",
            b"%c0%ae%c0%ae",
            b"..",
            b"..%5c..%5cetc",
            b"*",
            b"'%20OR%201=1--",
            b"%7B%7B7*7%7D%7D",
            b"new?wait=1",
            b"urn:uuid:00000000-0000-0000-0000-000000000007",
            b"{00000000-0000-0000-0000-000000000007}",
            b"00000000000000000000000000000007",
            b"00000000-0000-0000-0000-00000000000g",
            b"00000000-0000-0000-0000-0000000000070",
            b"x" * 10_000,
        )
    ),
    *(
        (f"path {path.decode()}", path, 404, "not_found")
        for path in (
            b"/api",
            b"/api/v1",
            b"/api/v2/orders",
            b"/API/V1/ORDERS",
            b"//api/v1/orders",
            b"/api//v1/orders",
            b"/api/v1/orders//",
            b"/api/v1/orders;a=b",
            b"/api/v1/../../etc/passwd",
            b"/api/v1/%2e%2e/%2e%2e/etc/passwd",
            b"/api/v1/orders/..%2f..%2fetc%2fpasswd",
            b"/api/v1/orders%20",
            b"/api/v1/orders%0d%0aX-Injected:%201",
            b"/.git/config",
            b"/problems/..%2f..%2fetc",
            b"/docs/../openapi.json",
            ORDER + b"/nothing",
            ORDER + b"/history/1",
        )
    ),
    *(
        (f"no order{tail.decode()}", ORDER + tail, 404, "order_not_found")
        for tail in (b"", b"/", b"/status", b"/status/", b"/history", b"?wait=30")
    ),
]
METHODS: tuple[tuple[str, bytes, str], ...] = tuple(
    (method, target, allowed)
    for target, allowed in (
        (ORDERS, "GET, HEAD, POST"),
        (ORDER, "GET, HEAD"),
        (ORDER + b"/cancel", "POST"),
        (b"/health/live", "GET, HEAD"),
    )
    for method in ("OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "PROPFIND", "QUERY")
)


@pytest.mark.parametrize(
    ("target", "status", "code"), [t[1:] for t in TARGETS], ids=[t[0] for t in TARGETS]
)
def test_a_hostile_address_is_refused(orders: Live, target: bytes, status: int, code: str) -> None:
    assert_problem(exchange(orders, request("GET", target)), status, code)


@pytest.mark.parametrize(("method", "target", "allowed"), METHODS)
def test_another_method_is_refused(orders: Live, method: str, target: bytes, allowed: str) -> None:
    refused = exchange(orders, request(method, target), method)
    assert refused.headers["allow"] == allowed
    assert_problem(refused, 405, "method_not_allowed")


@pytest.mark.parametrize("query", [b"?skip=50", b"?page[size]=10", b"?offset=0", b"?x=y"])
def test_an_unknown_parameter_is_refused(orders: Live, query: bytes) -> None:
    refused = exchange(orders, request("GET", ORDERS + query))
    problem = assert_problem(refused, 422, "unknown_parameter")
    assert "known here: cursor, limit, status, user_id" in problem["detail"]


@pytest.mark.parametrize("target", [ORDERS, b"/health/ready", b"/metrics", b"/openapi.json", b"/"])
def test_head_is_answered_as_get_without_the_body(orders: Live, target: bytes) -> None:
    with connection(orders) as connected:
        send(connected, request("HEAD", target))
        head = answer(connected, "HEAD")
        send(connected, request("GET", target))
        got = answer(connected)
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
    if target != b"/metrics":
        assert int(head.headers["content-length"]) == len(got.content)


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ((b"Origin: http://evil.example",), None, 403, "cross_site_request"),
        ((b"Sec-Fetch-Site: cross-site",), None, 403, "cross_site_request"),
        (
            (b"Content-Type: application/x-www-form-urlencoded",),
            b"a=b",
            415,
            "unsupported_media_type",
        ),
        ((b"Content-Type: text/plain",), b"{}", 415, "unsupported_media_type"),
        ((), None, 404, "booking_not_found"),
    ],
)
def test_no_form_on_any_page_cancels_a_booking(
    orders: Live, headers: tuple[bytes, ...], body: bytes | None, status: int, code: str
) -> None:
    cancel = request("POST", b"/api/v1/bookings/1/cancel", *headers, body=body)
    assert_problem(exchange(orders, cancel), status, code)

"""What is no request, or no end of one, is refused by a 4xx problem or hung up on."""

from __future__ import annotations

import socket
import struct
from contextlib import ExitStack

import pytest

from kit.http.hostile import assert_problem
from kit.http.live_services import Live
from kit.http.raw import answer, chunked, connection, exchange, is_closed, request, send

pytestmark = pytest.mark.usefixtures("nothing_is_left_behind")

ORDERS = b"/api/v1/orders"
JSON = b"Content-Type: application/json"
GOOD = b'{"user_id":"u","products":[{"product_id":"p","quantity":1}],"amount":"1"}'
POST = request("POST", ORDERS, JSON, body=GOOD)
UNTYPED = request("POST", ORDERS, body=GOOD)
NOBODY = ORDERS + b"/01890000-0000-7000-8000-000000000001/cancel"
CANCEL = request("POST", NOBODY, b"Idempotency-Key: hostile", JSON, body=b'{"a": "passer-by"}')


def with_line(line: bytes) -> bytes:
    """A good order with one more line in its head."""
    return request("POST", ORDERS, JSON, line, body=GOOD)


NO_HTTP: tuple[tuple[str, bytes], ...] = (
    ("a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32)),
    ("an AMQP hello", b"AMQP\x00\x00\x09\x01"),
    ("NUL bytes", bytes(100)),
    ("prose", b"hello, is this the order service?\r\n\r\n"),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("HTTP/3.0", b"GET / HTTP/3.0\r\nHost: x\r\n\r\n"),
    ("a method in small letters", POST.replace(b"POST", b"post", 1)),
    ("a method nobody knows", POST.replace(b"POST", b"BREW", 1)),
    ("no method", b" /api/v1/orders HTTP/1.1\r\n\r\n"),
    ("a tunnel", b"CONNECT example.invalid:443 HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("no slash", request("GET", b"api/v1/orders")),
    ("two blanks", request("GET", b"/api/v1/orders x")),
    ("raw UTF-8 in the address", request("GET", "/api/v1/orders/é".encode())),
    ("a raw NUL in the address", request("GET", b"/api/v1/orders/\x00")),
    ("only line feeds", POST.replace(b"\r\n", b"\n")),
    ("a header without a colon", with_line(b"Idempotency-Key")),
    ("a header without a name", with_line(b": x")),
    ("a blank before the colon", with_line(b"Idempotency-Key : x")),
    ("a folded header", with_line(b"X: a\r\n b")),
    ("a bare CR in a header", with_line(b"X: a\rY: b")),
    ("a NUL in a header", with_line(b"X: a\x00b")),
    ("a DEL in a key", with_line(b"Idempotency-Key: \x7f")),
    ("two hosts", with_line(b"Host: orders")),
    ("no host", POST.replace(b"Host: orders\r\n", b"")),
    ("HTTP/0.9", b"GET /\r\n\r\n"),
    ("two lengths", with_line(b"Content-Length: 5")),
    ("a length and chunks", with_line(b"Transfer-Encoding: chunked")),
    ("a negative length", request("POST", ORDERS, JSON, b"Content-Length: -1")),
    ("a signed length", request("POST", ORDERS, JSON, b"Content-Length: +5")),
    ("a length in words", request("POST", ORDERS, JSON, b"Content-Length: all")),
    ("a length past 64 bits", request("POST", ORDERS, JSON, b"Content-Length: " + b"9" * 30)),
    ("a chunk of no size", request("POST", ORDERS, JSON, b"Transfer-Encoding: chunked") + b"x\r\n"),
    (
        "a chunk past 64 bits",
        request("POST", ORDERS, JSON, b"Transfer-Encoding: chunked") + b"f" * 20 + b"\r\n",
    ),
    (
        "a chunk longer than it says",
        request("POST", ORDERS, JSON, b"Transfer-Encoding: chunked") + b"1\r\n{}}}}\r\n0\r\n\r\n",
    ),
)
CHUNKED = chunked("POST", ORDERS, JSON, body=GOOD)
TOO_LONG: tuple[tuple[str, bytes, int, str], ...] = (
    *(
        (name, data, 431, "request_header_fields_too_large")
        for name, data in (
            ("a header of 100 KB", with_line(b"X: " + b"x" * 100_000)),
            ("a header of 20 MB", with_line(b"X: " + b"x" * 20_000_000)),
            ("the name of a header of 1 MB", with_line(b"x" * 1_000_000 + b": x")),
            ("20,000 headers", with_line(b"\r\n".join(b"X%d: x" % n for n in range(20_000)))),
            ("a header without an end", request("GET", ORDERS)[:-2] + b"X: " + b"x" * 1_000_000),
            ("a trailer without an end", CHUNKED[:-2] + b"X: " + b"x" * 1_000_000),
        )
    ),
    ("an address of 20 KB", request("GET", ORDERS + b"?x=" + b"x" * 20_000), 414, "uri_too_long"),
    ("an address of 1 MB", request("GET", b"/" + b"x" * 1_000_000), 414, "uri_too_long"),
    ("an address without an end", b"GET /" + b"x" * 1_000_000, 414, "uri_too_long"),
)
ELSEWHERE: tuple[tuple[str, bytes, str], ...] = (
    ("another host", request("GET", b"http://example.invalid/etc/passwd"), "/etc/passwd"),
    ("no path but a host", request("GET", b"//example.invalid/orders"), "//example.invalid/orders"),
    ("everything", request("OPTIONS", b"*"), "*"),
    ("a socket", request("GET", b"/ws", b"Connection: upgrade", b"Upgrade: websocket"), "/ws"),
    ("HTTP/2 by upgrade", request("GET", b"/h2", b"Connection: upgrade", b"Upgrade: h2c"), "/h2"),
)


@pytest.mark.parametrize("data", [data for _, data in NO_HTTP], ids=[name for name, _ in NO_HTTP])
def test_what_is_no_http_is_refused(orders: Live, data: bytes) -> None:
    assert_problem(exchange(orders, data), 400, "malformed_request")


@pytest.mark.parametrize(
    ("data", "status", "code"), [long[1:] for long in TOO_LONG], ids=[long[0] for long in TOO_LONG]
)
def test_a_head_is_limited(orders: Live, data: bytes, status: int, code: str) -> None:
    assert_problem(exchange(orders, data), status, code)


@pytest.mark.parametrize(
    ("data", "path"), [one[1:] for one in ELSEWHERE], ids=[one[0] for one in ELSEWHERE]
)
def test_what_is_not_here_is_not_found(orders: Live, data: bytes, path: str) -> None:
    assert assert_problem(exchange(orders, data), 404, "not_found")["instance"] == path


def test_a_body_that_is_too_large_is_not_asked_for(orders: Live) -> None:
    announced = b"Content-Length: 5000000"
    asking = request("POST", ORDERS, JSON, announced, b"Expect: 100-continue")
    assert_problem(exchange(orders, asking), 413, "body_too_large")


@pytest.mark.parametrize("expected", [b"200-maybe", b"100-continue, 200-maybe", b""])
def test_what_cannot_be_met_is_not_expected(orders: Live, expected: bytes) -> None:
    refused = exchange(orders, with_line(b"Expect: " + expected))
    assert_problem(refused, 417, "expectation_failed")


def test_a_refusal_on_the_wire_carries_what_every_answer_carries(orders: Live) -> None:
    refused = exchange(orders, b"\x00\r\n\r\n")
    assert refused.headers["x-content-type-options"] == "nosniff"


def test_garbage_behind_a_request_costs_it_nothing(orders: Live) -> None:
    with connection(orders) as connected:
        send(connected, request("GET", ORDERS) + b"\x00\x01garbage\r\n\r\n")
        assert answer(connected).status_code == 200
        assert is_closed(connected)


def test_requests_in_one_packet_are_answered_in_order(orders: Live) -> None:
    with connection(orders) as connected:
        hostile = request("POST", ORDERS, JSON, body=b"[" * 1000)
        send(connected, hostile + request("GET", b"/nothing") + request("GET", ORDERS))
        # One reader for all: what it has buffered of the next answer is not lost.
        received = b""
        while received.count(b"HTTP/1.1 ") < 3 or not received.endswith(b"null}"):
            received += connected.recv(65536)
    statuses = [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]]
    assert statuses == [b"400", b"404", b"200"]


@pytest.mark.parametrize(
    "data", [POST[:10], POST[:-5], UNTYPED[:-5], CANCEL[:-5], CHUNKED[:-20], CHUNKED[:-2]]
)
@pytest.mark.parametrize("rudely", [False, True], ids=["hung up", "reset"])
def test_an_order_that_is_cut_off_is_no_order(orders: Live, data: bytes, *, rudely: bool) -> None:
    with connection(orders) as connected:
        send(connected, data)
        if rudely:
            now = struct.pack("ii", 1, 0)
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
        else:
            connected.shutdown(socket.SHUT_WR)
            assert is_closed(connected)


def test_an_order_may_come_byte_by_byte(orders: Live) -> None:
    refused = request("POST", ORDERS, JSON, body=GOOD.replace(b'"1"', b"NaN"))
    with connection(orders) as connected:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in refused:
            connected.sendall(bytes([byte]))
        assert_problem(answer(connected), 422, "validation_failed")


def test_hundreds_who_say_nothing_keep_nobody_waiting(orders: Live) -> None:
    with ExitStack() as stack:
        for number in range(300):
            connected = stack.enter_context(connection(orders))
            send(connected, POST[: number % len(POST)])
        assert exchange(orders, request("GET", ORDERS)).status_code == 200

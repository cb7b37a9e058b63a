"""Callers of the systems before: each of their calls is answered as docs/from-the-seeds.md says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from kit.http.live_services import Live

PAGE = (Path(__file__).parents[2] / "docs" / "from-the-seeds.md").read_text()
NOBODY = "01a1feb0-c5c7-778b-adc1-f835876caf2e"
LINES = [
    {"product_id": "product_001", "quantity": 1},
    {"product_id": "product_002", "quantity": 19},
]
ORDER: dict[str, Any] = {"user_id": "user_1", "products": LINES, "amount": "140"}
BOOKING = {"restaurant_id": 1, "booking_datetime": "2099-01-01T19:00:00", "guests_count": 2}
TICKET = {"subject": "No sound", "text": "", "email": "ann@example.com"}
OLD_TICKET = {"title": "No sound", "description": "", "email": "ann@example.com"}
TABLE: dict[str, Any] = {"name": "Table 1", "seats": 4}


class Call(NamedTuple):
    """What somebody sends, and what is answered."""

    method: str
    path: str
    body: Any
    status: int
    code: str = ""


def with_line(**changes: Any) -> dict[str, Any]:
    return ORDER | {"products": [{"product_id": "p", "quantity": 1} | changes]}


CALLS_OF_ORDERS: list[Call] = [
    Call("POST", "/api/v1/orders/new/", ORDER, 201),
    Call("POST", "/api/v1/orders/new/", ORDER | {"price": 1, "extra": "x"}, 201),
    Call("POST", "/api/v1/orders/new/", ORDER | {"amount": 140}, 201),
    Call("POST", "/api/v1/orders/new/", with_line(quantity="3"), 422, "validation_failed"),
    Call("POST", "/api/v1/orders/new/", with_line(quantity=1_000_001), 422, "validation_failed"),
    Call("POST", "/api/v1/orders/new/", with_line(product_id="p" * 256), 422, "validation_failed"),
    Call("POST", "/api/v1/orders/new/", ORDER | {"products": []}, 422, "validation_failed"),
    Call("POST", "/api/v1/orders/new/", ORDER | {"user_id": "u" * 256}, 422, "validation_failed"),
    *(
        Call("POST", "/api/v1/orders/new/", ORDER | {"amount": amount}, 422, "validation_failed")
        for amount in ("-5", "1.005", " 140 ", "abc", "10000000000")
    ),
    Call("POST", "/api/v1/orders/new/", ORDER | {"amount": "9999999999.99"}, 201),
    Call("GET", f"/api/v1/orders/{NOBODY}/status", None, 404, "order_not_found"),
    Call("GET", "/api/v1/orders/7/status", None, 422, "validation_failed"),
    Call("POST", "/bookings", BOOKING, 404, "not_found"),
    Call("POST", "/api/v1/bookings", BOOKING, 404, "restaurant_not_found"),
    Call("POST", "/api/v1/bookings", BOOKING | {"guests_count": 1001}, 422, "validation_failed"),
    Call("GET", "/bookings/1", None, 404, "not_found"),
    Call("GET", "/api/v1/bookings/1", None, 404, "booking_not_found"),
    Call("POST", "/v1/ticket/", OLD_TICKET, 404, "not_found"),
    Call("POST", "/api/v1/tickets", OLD_TICKET, 422, "validation_failed"),
    Call("POST", "/api/v1/tickets", TICKET | {"subject": ""}, 422, "validation_failed"),
    Call("GET", "/api/v1/tickets?page[size]=10", None, 422, "unknown_parameter"),
    Call("GET", "/api/v1/tickets?status=wait_answer", None, 422, "validation_failed"),
    Call("GET", "/api/v1/tickets?limit=101", None, 422, "validation_failed"),
    Call("PUT", f"/api/v1/tickets/{NOBODY}", {"status": "open"}, 405, "method_not_allowed"),
    Call("DELETE", f"/api/v1/tickets/{NOBODY}", None, 405, "method_not_allowed"),
    Call("GET", f"/api/v1/tickets/{NOBODY}/comments/{NOBODY}", None, 405, "method_not_allowed"),
    Call(
        "POST",
        f"/api/v1/tickets/{NOBODY}/comments",
        {"email": "bob@example.com", "text": "Hello"},
        404,
        "ticket_not_found",
    ),
    Call("GET", "/", None, 200),
    Call("GET", "/health", None, 200),
    Call("GET", "/api/openapi.json", None, 307),
    Call("GET", "/api/openapi", None, 307),
    Call("GET", "/api/redoc", None, 307),
]
CALLS_OF_PROCESSOR: list[Call] = [
    Call("GET", "/tables/", None, 404, "not_found"),
    Call("GET", "/api/v1/tables/", None, 200),
    Call("GET", "/api/v1/tables/?skip=10", None, 422, "unknown_parameter"),
    Call("GET", "/api/v1/tables/?limit=0", None, 422, "validation_failed"),
    Call("POST", "/api/v1/tables/", TABLE | {"name": ""}, 422, "validation_failed"),
    Call("POST", "/api/v1/tables/", TABLE | {"seats": 1001}, 422, "validation_failed"),
    Call("DELETE", "/api/v1/tables/7", None, 404, "table_not_found"),
    Call("DELETE", "/api/v1/reservations/7", None, 404, "reservation_not_found"),
]


def check(live: Live, call: Call) -> None:
    answer = httpx.request(call.method, f"{live.base}{call.path}", json=call.body, timeout=30)
    assert answer.status_code == call.status, answer.text
    if call.code:
        assert answer.json()["code"] == call.code


@pytest.mark.parametrize("call", CALLS_OF_ORDERS)
def test_a_call_of_orders_bookings_or_tickets(orders: Live, call: Call) -> None:
    check(orders, call)


@pytest.mark.parametrize("call", CALLS_OF_PROCESSOR)
def test_a_call_of_the_reservation_system(processor: Live, call: Call) -> None:
    check(processor, call)


def test_a_page_of_another_origin_is_not_let_in(orders: Live) -> None:
    asks = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    answer = httpx.options(f"{orders.base}/api/v1/orders", headers=asks, timeout=30)
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers


def test_an_order_is_answered_with_the_members_it_had_and_two_places(orders: Live) -> None:
    answer = httpx.post(f"{orders.base}/api/v1/orders/new/", json=ORDER, timeout=30).json()
    assert answer.keys() >= {"id", "status", "created_at"}
    assert answer["amount"] == "140.00"
    assert answer["created_at"].endswith("Z")


def test_lines_of_one_product_are_summed(orders: Live) -> None:
    twice = ORDER | {"products": [LINES[0], LINES[0]]}
    answer = httpx.post(f"{orders.base}/api/v1/orders/new/", json=twice, timeout=30).json()
    assert answer["products"] == [{"product_id": "product_001", "quantity": 2}]


@dataclass
class OpenedTicket:
    """One ticket, moved to where a test wants it."""

    base: str
    body: dict[str, Any]

    def move(self, status: str) -> httpx.Response:
        url = f"{self.base}/api/v1/tickets/{self.body['id']}"
        return httpx.patch(url, json={"status": status}, timeout=30)


@pytest.fixture
def opened(orders: Live) -> OpenedTicket:
    opening = TICKET | {"status": "closed", "created_by": "ann"}
    answer = httpx.post(f"{orders.base}/api/v1/tickets", json=opening, timeout=30)
    assert answer.status_code == 201
    return OpenedTicket(orders.base, answer.json())


def test_a_status_at_creation_and_who_created_it_are_ignored(opened: OpenedTicket) -> None:
    assert opened.body["status"] == "open"
    assert "created_by" not in opened.body


def test_a_ticket_that_awaits_a_reply_can_be_answered_and_not_await_it_twice(
    opened: OpenedTicket,
) -> None:
    assert opened.move("wait_answer").status_code == 422
    assert [opened.move(one).status_code for one in ("answered", "awaiting_reply")] == [200, 200]
    again = opened.move("awaiting_reply")
    assert (again.status_code, again.json()["code"]) == (409, "illegal_transition")
    assert again.json()["allowed"] == ["answered", "closed"]
    assert opened.move("answered").status_code == 200


def test_a_closed_ticket_takes_no_comment(opened: OpenedTicket) -> None:
    assert opened.move("closed").status_code == 200
    url = f"{opened.base}/api/v1/tickets/{opened.body['id']}/comments"
    body = {"email": "bob@example.com", "text": "Too late"}
    answer = httpx.post(url, json=body, timeout=30)
    assert (answer.status_code, answer.json()["code"]) == (409, "ticket_closed")


def test_a_reservation_conflicts_and_keeps_its_table(processor: Live) -> None:
    api = f"{processor.base}/api/v1"
    made = httpx.post(f"{api}/restaurants", json={"name": "R", "address": "A"}, timeout=30)
    table = httpx.post(f"{api}/tables/", json=TABLE, timeout=30).json()
    assert table["restaurant_id"] == made.json()["id"]
    day = (datetime.now(UTC) + timedelta(days=30)).date()
    wish = {"table_id": table["id"], "customer_name": "Ada", "duration_minutes": 90}
    wish |= {"reservation_time": f"{day}T19:00:00"}
    taken, refused = (httpx.post(f"{api}/reservations/", json=wish, timeout=30) for _ in range(2))
    assert taken.json()["reservation_time"] == f"{day}T19:00:00+00:00"
    assert (refused.status_code, refused.json()["code"]) == (409, "table_already_reserved")
    assert refused.json()["period"].keys() == {"from", "until"}
    kept = httpx.delete(f"{api}/tables/{table['id']}", timeout=30)
    assert (kept.status_code, kept.json()["code"]) == (409, "table_in_use")
    past = httpx.post(
        f"{api}/reservations/", json=wish | {"reservation_time": "2020-01-01T19:00:00"}, timeout=30
    )
    assert past.status_code == 422
    given_back = httpx.delete(f"{api}/reservations/{taken.json()['id']}", timeout=30)
    assert given_back.status_code == 204


def test_every_code_that_these_callers_meet_instead_of_another_is_on_the_page() -> None:
    new = {"illegal_transition", "ticket_closed", "ticket_not_found", "restaurant_not_found"}
    new |= {"table_already_reserved", "table_in_use", "unknown_parameter", "database_unavailable"}
    assert [code for code in sorted(new) if f"`{code}`" not in PAGE] == []

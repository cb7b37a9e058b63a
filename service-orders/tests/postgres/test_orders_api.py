"""Orders over HTTP, on the real database."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from contracts.orders import OrderCreated, OrderProcessed
from kit.services.service import Service
from outbox import Envelope

SEED = {
    "user_id": "user_1",
    "products": [
        {"product_id": "product_001", "quantity": 1},
        {"product_id": "product_002", "quantity": 19},
        {"product_id": "product_003", "quantity": 17},
    ],
    "amount": "140",
}


async def place_order(service: Service, **changes: Any) -> dict[str, Any]:
    answer = await service.http.post("/api/v1/orders", json={**SEED, **changes})
    assert answer.status_code == 201, answer.text
    placed: dict[str, Any] = answer.json()
    return placed


async def processed(
    service: Service, order_id: str, outcome: str, reason: str | None = None
) -> Envelope:
    """The processor's answer, received."""
    event = OrderProcessed(
        order_id=UUID(order_id),
        outcome=outcome,  # type: ignore[arg-type]
        reason=reason,
        processed_at=datetime.now(UTC),
    )
    [envelope] = await service.receive(event)
    return envelope


@pytest.mark.parametrize("path", ["/orders/new/", "/orders/new", "/orders", "/orders/"])
async def test_an_order_is_placed_under_each_of_its_paths(service: Service, path: str) -> None:
    answer = await service.http.post(f"/api/v1{path}", json=SEED)
    assert answer.status_code == 201
    order = answer.json()
    assert (order["status"], order["amount"], order["reason"]) == ("CREATED", "140.00", None)
    assert answer.headers["Location"] == f"/api/v1/orders/{order['id']}"
    assert (await service.http.get(answer.headers["Location"])).json() == order


async def test_the_order_and_its_event_are_one_transaction(service: Service) -> None:
    order = await place_order(service)
    [stored] = await service.events()
    event = OrderCreated.from_envelope(stored)
    assert (str(event.order_id), stored.sequence) == (order["id"], 1)
    assert stored.type == "order.created"
    assert [line.quantity for line in event.products] == [1, 19, 17]


async def test_an_order_whose_event_cannot_be_added_is_not_stored(service: Service) -> None:
    async with service.work.begin() as unit:
        await unit.connection.execute(text("ALTER TABLE outbox ADD CHECK (type = 'nothing')"))
    answer = await service.http.post("/api/v1/orders", json=SEED)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "constraint" not in answer.text
    async with service.work.engine.connect() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM orders"))).scalar_one() == 0


async def test_lines_of_one_product_are_summed(service: Service) -> None:
    line = {"product_id": "p", "quantity": 2}
    order = await place_order(service, products=[line, {"product_id": "q", "quantity": 1}, line])
    assert order["products"] == [
        {"product_id": "p", "quantity": 4},
        {"product_id": "q", "quantity": 1},
    ]


async def test_too_many_of_one_product_is_a_problem(service: Service) -> None:
    half = {"product_id": "p", "quantity": 600_000}
    answer = await service.http.post("/api/v1/orders", json={**SEED, "products": [half, half]})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_of_one_product")
    assert [error["field"] for error in answer.json()["errors"]] == ["products"]
    document = (await service.http.get("/openapi.json")).json()
    for path in ("/api/v1/orders", "/api/v1/orders/new"):
        refusals = document["paths"][path]["post"]["responses"]["422"]["content"]
        examples = refusals["application/problem+json"]["examples"]
        assert {"too_many_of_one_product", "validation_failed"} <= set(examples)
        assert all(example["value"]["errors"] for example in examples.values())


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "-1"},
        {"amount": "1.234"},
        {"amount": True},
        {"amount": "10000000000"},
        {"amount": "NaN"},
        {"user_id": ""},
        {"user_id": "x" * 256},
        {"user_id": "a\u0000b"},
        {"products": []},
        {"products": [{"product_id": "p", "quantity": 0}]},
        {"products": [{"product_id": "p", "quantity": 1_000_001}]},
        {"products": [{"product_id": "p", "quantity": "1"}]},
        {"products": [{"product_id": f"p{n}", "quantity": 1} for n in range(501)]},
    ],
)
async def test_what_breaks_a_limit_is_refused_and_stores_nothing(
    service: Service, change: dict[str, Any]
) -> None:
    answer = await service.http.post("/api/v1/orders", json={**SEED, **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert await service.events() == []


@pytest.mark.parametrize("tail", ["", "/status"])
async def test_an_unknown_order_is_a_problem(service: Service, tail: str) -> None:
    answer = await service.http.get(f"/api/v1/orders/{UUID(int=7)}{tail}")
    assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")


async def test_waiting_answers_as_soon_as_the_order_is_settled(service: Service) -> None:
    order = await place_order(service)
    began = time.monotonic()
    waiting = asyncio.create_task(
        service.http.get(f"/api/v1/orders/{order['id']}/status", params={"wait": 20})
    )
    await asyncio.sleep(0)
    await processed(service, order["id"], "FAILED", "simulated failure")
    answer = (await waiting).json()
    assert (answer["status"], answer["reason"]) == ("FAILED", "simulated failure")
    assert time.monotonic() - began < 15


async def test_waiting_ends_with_the_current_state_when_the_time_is_up(service: Service) -> None:
    order = await place_order(service)
    answer = await service.http.get(f"/api/v1/orders/{order['id']}", params={"wait": 0.1})
    assert answer.json()["status"] == "CREATED"


@pytest.mark.parametrize("wait", ["-1", "31", "soon", "nan", ""])
async def test_a_malformed_wait_is_refused(service: Service, wait: str) -> None:
    answer = await service.http.get(f"/api/v1/orders/{UUID(int=7)}", params={"wait": wait})
    assert answer.status_code == 422


async def test_a_terminal_order_never_changes(service: Service) -> None:
    order = await place_order(service)
    await processed(service, order["id"], "COMPLETED")
    await processed(service, order["id"], "FAILED", "too late")
    answer = (await service.http.get(f"/api/v1/orders/{order['id']}/status")).json()
    assert (answer["status"], answer["reason"]) == ("COMPLETED", None)


async def test_the_documented_example_works_when_pasted(service: Service) -> None:
    document = (await service.http.get("/openapi.json")).json()
    [example] = document["components"]["schemas"]["PlaceOrder"]["examples"]
    await place_order(service, **example)
    assert set(document["paths"]["/api/v1/orders"]["post"]["responses"]) >= {"201", "400", "422"}


async def history(service: Service, order_id: str) -> list[dict[str, Any]]:
    return await service.listed(f"/api/v1/orders/{order_id}/history")


async def test_a_cancelled_order_stays_cancelled_and_notes_what_came_too_late(
    service: Service,
) -> None:
    order = await place_order(service)
    answer = await service.http.post(f"/api/v1/orders/{order['id']}/cancel")
    assert (answer.status_code, answer.json()["status"]) == (200, "CANCELLED")
    await processed(service, order["id"], "COMPLETED")
    statuses = [(item["status"], item["reason"]) for item in await history(service, order["id"])]
    assert statuses == [
        ("CREATED", None),
        ("CANCELLED", None),
        ("CANCELLED", "ignored COMPLETED: the order was CANCELLED already"),
    ]


async def test_cancelling_tells_the_processor(service: Service) -> None:
    order = await place_order(service)
    await service.http.post(f"/api/v1/orders/{order['id']}/cancel")
    events = [(event.type, event.sequence) for event in await service.events()]
    assert events == [("order.created", 1), ("order.cancelled", 2)]


@pytest.mark.parametrize("outcome", ["COMPLETED", "FAILED"])
async def test_a_settled_order_cannot_be_cancelled(service: Service, outcome: str) -> None:
    order = await place_order(service)
    await processed(service, order["id"], outcome)
    answer = await service.http.post(f"/api/v1/orders/{order['id']}/cancel")
    assert (answer.status_code, answer.json()["code"]) == (409, "illegal_transition")
    assert answer.json()["allowed"] == []


async def test_history_names_the_event_that_caused_a_status(service: Service) -> None:
    order = await place_order(service)
    cause = await processed(service, order["id"], "FAILED", "no stock")
    first, last = await history(service, order["id"])
    assert (first["status"], first["caused_by"]) == ("CREATED", None)
    assert (last["status"], last["reason"]) == ("FAILED", "no stock")
    assert last["caused_by"] == str(cause.id)


@pytest.mark.parametrize(("method", "tail"), [("POST", "cancel"), ("GET", "history")])
async def test_cancel_and_history_of_an_unknown_order_are_problems(
    service: Service, method: str, tail: str
) -> None:
    answer = await service.http.request(method, f"/api/v1/orders/{UUID(int=7)}/{tail}")
    assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")

"""The stand-ins say what their world holds, and go wrong as they are told."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry

from service_stubs.bootstrap import build_app
from service_stubs.ledger import Ledger
from servicekit.observe.metrics import HttpMetrics

HELD = {"user_id": "user-1", "order_id": "r1", "amount": 300}


def client(ledger: Ledger) -> httpx.AsyncClient:
    app = build_app(ledger, HttpMetrics(CollectorRegistry()))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://stubs")


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with client(Ledger(":memory:")) as http:
        yield http


async def trouble(http: httpx.AsyncClient, system: str, **trouble: Any) -> None:
    answer = await http.put(f"/control/systems/{system}", json={"troubles": [trouble]})
    assert answer.status_code == 200, answer.text


async def hold(http: httpx.AsyncClient, key: str = "r1:hold", **changes: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key}
    return await http.post("/hold-money-for-order", json={**HELD, **changes}, headers=headers)


async def books(http: httpx.AsyncClient) -> list[tuple[str, str, int, str, int]]:
    rows = (await http.get("/control/ledger")).json()["items"]
    return [(r["key"], r["step"], r["amount"], r["status"], r["asked"]) for r in rows]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("scooter-data?id=scooter-1", {"id": "scooter-1", "zone_id": "korolev", "charge": 57}),
        (
            "scooter-data?id=scooter-low-1",
            {"id": "scooter-low-1", "zone_id": "korolev", "charge": 15},
        ),
        (
            "scooter-data?id=zone2-scooter",
            {"id": "zone2-scooter", "zone_id": "korolev", "charge": 57},
        ),
        (
            "tariff-zone-data?id=z",
            {"id": "z", "price_per_minute": 12, "price_unlock": 45, "default_deposit": 300},
        ),
        ("user-profile?id=user-1", {"id": "user-1", "has_subscribtion": False, "trusted": False}),
        ("user-profile?id=user-5", {"id": "user-5", "has_subscribtion": False, "trusted": True}),
        ("user-profile?id=user-4", {"id": "user-4", "has_subscribtion": True, "trusted": False}),
        (
            "configs",
            {
                "price_coeff_settings": {"surge": 2, "low_charge_discount": 0.75},
                "low_charge_threshold": 28,
            },
        ),
    ],
)
async def test_the_world_is_as_described(
    http: httpx.AsyncClient, path: str, answer: dict[str, Any]
) -> None:
    found = await http.get(f"/{path}")
    assert (found.status_code, found.json()) == (200, answer)


@pytest.mark.parametrize(
    "path", ["scooter-data?id=bike-1", "user-profile?id=ann", "user-profile?id=user-0"]
)
async def test_what_does_not_exist_is_404(http: httpx.AsyncClient, path: str) -> None:
    assert (await http.get(f"/{path}")).status_code == 404


async def test_debts_are_those_of_user_2_and_user_3(http: httpx.AsyncClient) -> None:
    second = (await http.get("/user-profile?id=user-2")).json()
    third = (await http.get("/user-profile?id=user-3")).json()
    assert (second["current_debt"], third["total_debt"]) == (1000, 20_000)
    assert "current_debt" not in third


async def test_a_key_moves_money_once(http: httpx.AsyncClient) -> None:
    first, again = await hold(http), await hold(http)
    assert first.json() == again.json() == {"order_id": "r1", "amount": 300, "status": "held"}
    assert await books(http) == [("r1:hold", "hold", 300, "held", 2)]


async def test_a_key_that_stands_for_another_movement_is_refused(http: httpx.AsyncClient) -> None:
    await hold(http)
    assert (await hold(http, amount=301)).status_code == 422
    assert await books(http) == [("r1:hold", "hold", 300, "held", 1)]


async def test_money_without_a_key_is_refused(http: httpx.AsyncClient) -> None:
    assert (await http.post("/hold-money-for-order", json=HELD)).status_code == 422


async def test_the_books_are_shown_for_several_orders(http: httpx.AsyncClient) -> None:
    for order in ("r1", "r2", "r3"):
        assert (await hold(http, f"{order}:hold", order_id=order)).status_code == 200
    answer = await http.get("/control/ledger?order_id=r1&order_id=r3")
    assert answer.status_code == 200, answer.text
    assert {row["key"] for row in answer.json()["items"]} == {"r1:hold", "r3:hold"}


async def test_the_books_survive_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "books" / "ledger.sqlite"
    for asked in (1, 2):
        ledger = Ledger(path)
        async with client(ledger) as http:
            assert (await hold(http)).json()["status"] == "held"
            assert await books(http) == [("r1:hold", "hold", 300, "held", asked)]
        ledger.close()


async def test_a_failing_call_has_moved_nothing_and_the_next_one_works(
    http: httpx.AsyncClient,
) -> None:
    await trouble(http, "hold", mode="failing", next=1)
    assert (await hold(http)).status_code == 500
    assert await books(http) == []
    assert (await hold(http)).status_code == 200


async def test_a_declined_key_stays_declined(http: httpx.AsyncClient) -> None:
    await trouble(http, "hold", mode="declining", next=1)
    answers = [(await hold(http)).json()["status"] for _ in range(2)]
    assert answers == ["declined", "declined"]
    assert await books(http) == [("r1:hold", "hold", 300, "declined", 2)]


async def test_a_hanging_call_has_moved_the_money(http: httpx.AsyncClient) -> None:
    await trouble(http, "hold", mode="hanging", seconds=0.2)
    began = time.monotonic()
    await hold(http)
    assert time.monotonic() - began >= 0.2
    assert await books(http) == [("r1:hold", "hold", 300, "held", 1)]


async def test_nonsense_may_be_chosen(http: httpx.AsyncClient) -> None:
    await trouble(http, "tariffs", mode="nonsense", answer={"price_per_minute": -1})
    answer = await http.get("/tariff-zone-data?id=z")
    assert (answer.status_code, answer.json()) == (200, {"price_per_minute": -1})


async def test_rates_add_up_and_all_is_well_again_when_told(http: httpx.AsyncClient) -> None:
    rates = [{"mode": "failing", "rate": 0.5}, {"mode": "nonsense", "rate": 0.5, "answer": "no"}]
    await http.put("/control/systems/configs", json={"troubles": rates})
    answers = [await http.get("/configs") for _ in range(60)]
    assert {answer.status_code for answer in answers} == {200, 500}
    assert all(answer.status_code == 500 or answer.json() == "no" for answer in answers)
    assert (await http.delete("/control/systems")).json() == {"systems": {}}
    assert (await http.get("/configs")).json()["low_charge_threshold"] == 28


@pytest.mark.parametrize("wrong", [{"rate": 0}, {"rate": 1.1}, {"mode": "sad"}, {"seconds": 1}])
async def test_trouble_that_makes_no_sense_is_refused(
    http: httpx.AsyncClient, wrong: dict[str, Any]
) -> None:
    body = {"troubles": [{"mode": "failing", **wrong}]}
    assert (await http.put("/control/systems/hold", json=body)).status_code == 422

"""Bookings over HTTP, on the real database."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from contracts import Contract
from contracts.bookings import BookingChecking, BookingConfirmed, BookingCreated, BookingRejected
from contracts.restaurants import RestaurantCreated
from kit.services.restaurant import NOON, at
from kit.services.service import Service

NOW = datetime.now(UTC)


def restaurant(id_: int = 10_001, timezone: str = "Europe/Berlin") -> RestaurantCreated:
    return RestaurantCreated(
        restaurant_id=id_,
        name="R",
        address="A",
        description=None,
        timezone=timezone,
        created_at=NOW,
    )


def answers(booking_id: int, *, table_id: int | None = None) -> list[Contract]:
    checking = BookingChecking(booking_id=booking_id, started_at=NOW)
    if table_id is None:
        reason: Any = "no table free"
        return [
            checking,
            BookingRejected(booking_id=booking_id, reason=reason, rejected_at=NOW),
        ]
    return [
        checking,
        BookingConfirmed(booking_id=booking_id, table_id=table_id, confirmed_at=NOW),
    ]


async def ask(service: Service, **changes: Any) -> Any:
    body = {"restaurant_id": 10_001, "booking_datetime": at(), "guests_count": 2, **changes}
    return await service.http.post("/api/v1/bookings", json=body)


async def booked(service: Service, **changes: Any) -> dict[str, Any]:
    await service.receive(restaurant())
    answer = await ask(service, **changes)
    assert answer.status_code == 201, answer.text
    booking: dict[str, Any] = answer.json()
    return booking


async def now_is(service: Service, booking: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await service.http.get(f"/api/v1/bookings/{booking['id']}")).json()
    return found


async def history(service: Service, booking: dict[str, Any]) -> list[tuple[str, str | None]]:
    entries = await service.listed(f"/api/v1/bookings/{booking['id']}/history")
    return [(entry["status"], entry["reason"]) for entry in entries]


async def cancel(service: Service, booking: dict[str, Any], **options: Any) -> Any:
    return await service.http.post(f"/api/v1/bookings/{booking['id']}/cancel", **options)


async def test_a_booking_and_its_event_are_one_transaction(service: Service) -> None:
    booking = await booked(service)
    assert booking.items() >= {"status": "CREATED", "duration_minutes": 120, "reason": None}.items()
    assert booking["table_id"] is None
    assert await now_is(service, booking) == booking
    [stored] = await service.events()
    event = BookingCreated.from_envelope(stored)
    assert (event.booking_id, stored.sequence) == (booking["id"], 1)
    assert stored.type == "booking.created"
    assert (event.starts_at, event.ends_at) == (NOON, NOON + timedelta(hours=2))


async def test_a_booking_at_an_unknown_restaurant_is_a_problem(service: Service) -> None:
    answer = await ask(service)
    assert (answer.status_code, answer.json()["code"]) == (404, "restaurant_not_found")
    await service.receive(restaurant())
    assert (await ask(service)).status_code == 201


@pytest.mark.parametrize(
    "change",
    [
        {"restaurant_id": 0},
        {"restaurant_id": "1"},
        {"guests_count": 0},
        {"guests_count": 1001},
        {"duration_minutes": 14},
        {"duration_minutes": 1441},
        {"booking_datetime": "tomorrow"},
        {"booking_datetime": 1893456000},
        {"booking_datetime": (NOW - timedelta(seconds=1)).isoformat()},
        {"booking_datetime": (NOW + timedelta(days=731)).isoformat()},
        {"booking_datetime": "9999-12-31T23:59:59"},
    ],
)
async def test_what_breaks_a_limit_is_refused_and_stores_nothing(
    service: Service, change: dict[str, Any]
) -> None:
    await service.receive(restaurant())
    answer = await ask(service, **change)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    [error] = answer.json()["errors"]
    assert error["field"] == next(iter(change))
    assert await service.events() == []


async def test_a_time_without_an_offset_is_the_restaurants(service: Service) -> None:
    local = NOON.replace(tzinfo=None).isoformat()
    await service.receive(restaurant(10_002, "Asia/Tokyo"))
    booking = await booked(service, restaurant_id=10_002, booking_datetime=local)
    assert booking["booking_datetime"] == f"{local}+09:00"
    assert datetime.fromisoformat(booking["booking_datetime"]) == NOON - timedelta(hours=9)


async def test_a_booking_is_confirmed_with_its_table(service: Service) -> None:
    booking = await booked(service)
    await service.receive(*answers(booking["id"], table_id=7))
    found = await now_is(service, booking)
    assert (found["status"], found["table_id"], found["reason"]) == ("CONFIRMED", 7, None)
    statuses = [status for status, _ in await history(service, booking)]
    assert statuses == ["CREATED", "CHECKING_AVAILABILITY", "CONFIRMED"]


async def test_a_booking_is_rejected_with_a_reason(service: Service) -> None:
    booking = await booked(service)
    await service.receive(*answers(booking["id"]))
    found = await now_is(service, booking)
    assert (found["status"], found["reason"]) == ("REJECTED", "no table free")
    refused = await cancel(service, booking)
    assert (refused.status_code, refused.json()["code"]) == (409, "illegal_transition")
    assert refused.json()["allowed"] == []


@pytest.mark.parametrize("heard", [0, 1, 2])
async def test_a_booking_is_cancelled_from_every_status_before_its_end(
    service: Service, heard: int
) -> None:
    booking = await booked(service)
    said = answers(booking["id"], table_id=7)
    await service.receive(*said[:heard])
    cancelled = await cancel(service, booking)
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "CANCELLED")
    await service.receive(*said[heard:])
    assert (await now_is(service, booking))["status"] == "CANCELLED"
    after = (await history(service, booking))[heard + 1 :]
    assert after[0] == ("CANCELLED", None)
    assert all(str(reason).startswith("ignored") for _, reason in after[1:])
    assert len(after) == 1 + len(said) - heard
    assert (await cancel(service, booking)).status_code == 409
    events = [(event.type, event.sequence) for event in await service.events()]
    assert events == [("booking.created", 1), ("booking.cancelled", 2)]


async def test_cancelling_again_with_the_same_key_is_the_same_success(service: Service) -> None:
    booking = await booked(service)
    headers = {"Idempotency-Key": "k"}
    first, again = [await cancel(service, booking, headers=headers) for _ in range(2)]
    assert (first.status_code, first.content) == (200, again.content)


async def test_a_key_makes_one_booking(service: Service) -> None:
    await service.receive(restaurant())
    body = {"restaurant_id": 10_001, "booking_datetime": at(), "guests_count": 2}
    made = await asyncio.gather(
        *(
            service.http.post("/api/v1/bookings", json=body, headers={"Idempotency-Key": "k"})
            for _ in range(20)
        )
    )
    assert {answer.status_code for answer in made} <= {201, 409}
    assert len({answer.content for answer in made if answer.status_code == 201}) == 1
    async with service.work.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM bookings"))).scalar_one() == 1


async def test_waiting_answers_as_soon_as_the_booking_is_settled(service: Service) -> None:
    booking = await booked(service)
    began = time.monotonic()
    path = f"/api/v1/bookings/{booking['id']}"
    waiting = asyncio.create_task(service.http.get(path, params={"wait": 20}))
    await asyncio.sleep(0)
    await service.receive(*answers(booking["id"], table_id=7))
    assert (await waiting).json()["status"] == "CONFIRMED"
    assert time.monotonic() - began < 15


@pytest.mark.parametrize(
    ("method", "tail"), [("GET", ""), ("POST", "/cancel"), ("GET", "/history")]
)
async def test_an_unknown_booking_is_a_problem(service: Service, method: str, tail: str) -> None:
    answer = await service.http.request(method, f"/api/v1/bookings/7{tail}")
    assert (answer.status_code, answer.json()["code"]) == (404, "booking_not_found")


async def test_bookings_are_listed_by_restaurant_and_status_newest_first(
    service: Service,
) -> None:
    await service.receive(restaurant(10_002))
    here = [(await booked(service))["id"] for _ in range(3)]
    there = (await booked(service, restaurant_id=10_002))["id"]
    await service.receive(*answers(here[1], table_id=7))

    async def listed(**query: Any) -> list[int]:
        return [booking["id"] for booking in await service.listed("/api/v1/bookings", **query)]

    assert await listed(limit=2) == [there, *reversed(here)]
    assert await listed(restaurant_id=10_001, limit=1) == here[::-1]
    assert await listed(status="CONFIRMED") == [here[1]]
    assert await listed(status="CREATED", restaurant_id=10_002) == [there]
    answer = await service.http.get("/api/v1/bookings", params={"status": "LOST"})
    assert answer.status_code == 422


async def test_the_documented_example_works_when_pasted(service: Service) -> None:
    await service.receive(restaurant(1))
    document = (await service.http.get("/openapi.json")).json()
    [example] = document["components"]["schemas"]["BookTable"]["examples"]
    assert (await service.http.post("/api/v1/bookings", json=example)).status_code == 201

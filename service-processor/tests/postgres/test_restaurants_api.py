"""Restaurants, tables and reservations over HTTP, on the real database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from contracts.restaurants import ReservationCreated, TableCreated
from kit.services.restaurant import NOON, at, open_restaurant, reserve
from kit.services.service import Service


async def events(service: Service) -> list[tuple[str, str, int]]:
    return [(event.type, event.aggregate_id, event.sequence) for event in await service.events()]


async def statements(service: Service, table: str = "outbox") -> list[Any]:
    async with service.work.read() as connection:
        return list(await connection.execute(text(f"SELECT * FROM {table}")))


async def test_a_restaurant_is_added_and_found(service: Service) -> None:
    body = {"name": "Trattoria", "address": "Harbour 1", "timezone": "Europe/Rome"}
    answer = await service.http.post("/restaurants", json=body)
    assert answer.status_code == 201
    restaurant = answer.json()
    assert restaurant.items() >= {**body, "description": None}.items()
    assert answer.headers["Location"] == f"/api/v1/restaurants/{restaurant['id']}"
    assert (await service.http.get(f"/restaurants/{restaurant['id']}")).json() == restaurant
    assert (await service.http.get("/restaurants/")).json()["items"] == [restaurant]
    assert await events(service) == [("restaurant.created", str(restaurant["id"]), 1)]


async def test_a_restaurant_has_the_default_time_zone_unless_it_says_so(service: Service) -> None:
    answer = await service.http.post("/restaurants", json={"name": "R", "address": "A"})
    assert answer.json()["timezone"] == "UTC"


async def test_the_events_of_tables_are_in_their_restaurants_stream(service: Service) -> None:
    restaurant_id, [first, second] = await open_restaurant(service.http, seats=(2, 4))
    await service.http.delete(f"/tables/{first}")
    assert await events(service) == [
        ("restaurant.created", str(restaurant_id), 1),
        ("table.created", str(restaurant_id), 2),
        ("table.created", str(restaurant_id), 3),
        ("table.deleted", str(restaurant_id), 4),
    ]
    _, event = await service.emitted(TableCreated)
    assert (event.table_id, event.seats, event.restaurant_id) == (second, 4, restaurant_id)


async def test_a_table_without_a_restaurant_goes_to_the_first(service: Service) -> None:
    body = {"name": "Table 1", "seats": 4, "location": "Terrace"}
    answer = await service.http.post("/tables/", json=body)
    assert (answer.status_code, answer.json()["code"]) == (404, "restaurant_not_found")
    first, _ = await open_restaurant(service.http, seats=())
    await open_restaurant(service.http, seats=())
    answer = await service.http.post("/tables/", json=body)
    assert answer.status_code == 201
    assert answer.json().items() >= {**body, "restaurant_id": first}.items()


async def test_tables_are_listed_by_restaurant_newest_first(service: Service) -> None:
    _, ours = await open_restaurant(service.http)
    other, [theirs] = await open_restaurant(service.http, seats=(8,))
    everywhere = (await service.http.get("/tables")).json()["items"]
    assert [table["id"] for table in everywhere] == [theirs, *reversed(ours)]
    there = (await service.http.get("/tables", params={"restaurant_id": other})).json()["items"]
    assert [table["id"] for table in there] == [theirs]


async def test_a_reservation_is_made_found_listed_and_deleted(service: Service) -> None:
    _, [table_id] = await open_restaurant(service.http, seats=(4,), timezone="Asia/Tokyo")
    answer = await reserve(service.http, table_id, reservation_time=at())
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert made["reservation_time"].endswith("T21:00:00+09:00")
    assert datetime.fromisoformat(made["reservation_time"]) == NOON
    assert (made["table_id"], made["customer_name"], made["duration_minutes"]) == (
        table_id,
        "Ada",
        60,
    )
    path = f"/reservations/{made['id']}"
    assert answer.headers["Location"] == f"/api/v1{path}"
    assert (await service.http.get(path)).json() == made
    assert (await service.http.get("/reservations")).json()["items"] == [made]
    assert (await service.http.delete(path)).status_code == 204
    for gone in (await service.http.get(path), await service.http.delete(path)):
        assert (gone.status_code, gone.json()["code"]) == (404, "reservation_not_found")
    assert (await events(service))[-2:] == [
        ("reservation.created", str(made["id"]), 1),
        ("reservation.deleted", str(made["id"]), 2),
    ]
    assert (await reserve(service.http, table_id)).status_code == 201


async def test_the_event_of_a_reservation_says_its_period(service: Service) -> None:
    _, [table_id] = await open_restaurant(service.http, seats=(4,))
    await reserve(service.http, table_id)
    [event] = await service.emitted(ReservationCreated)
    assert (event.starts_at, event.ends_at) == (NOON, NOON + timedelta(hours=1))


async def test_a_conflict_names_the_conflicting_period(service: Service) -> None:
    _, [table_id] = await open_restaurant(service.http, seats=(4,), timezone="Europe/Berlin")
    await reserve(service.http, table_id)
    answer = await reserve(service.http, table_id, reservation_time=at(59))
    refusal = answer.json()
    assert (answer.status_code, refusal["code"]) == (409, "table_already_reserved")
    begin, end = (datetime.fromisoformat(refusal["period"][key]) for key in ("from", "until"))
    assert (begin, end) == (NOON, NOON + timedelta(hours=1))
    assert refusal["period"]["from"] in refusal["detail"]


async def test_touching_reservations_fit(service: Service) -> None:
    _, [table_id] = await open_restaurant(service.http, seats=(4,))
    for minutes in (0, 60, -60):
        answer = await reserve(service.http, table_id, reservation_time=at(minutes))
        assert answer.status_code == 201


async def test_a_table_in_use_is_not_deleted(service: Service) -> None:
    _, [table_id] = await open_restaurant(service.http, seats=(4,))
    made = (await reserve(service.http, table_id)).json()
    answer = await service.http.delete(f"/tables/{table_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "table_in_use")
    assert datetime.fromisoformat(answer.json()["period"]["from"]) == NOON
    await service.http.delete(f"/reservations/{made['id']}")
    assert (await service.http.delete(f"/tables/{table_id}")).status_code == 204
    assert (await service.http.get("/tables")).json()["items"] == []
    for answer in (
        await service.http.delete(f"/tables/{table_id}"),
        await reserve(service.http, table_id),
    ):
        assert (answer.status_code, answer.json()["code"]) == (404, "table_not_found")


async def test_a_past_reservation_stays_readable_when_its_table_goes(service: Service) -> None:
    _, [table_id] = await open_restaurant(service.http, seats=(4,))
    made = (await reserve(service.http, table_id)).json()
    async with service.work.begin() as unit:
        past = "UPDATE allocations SET period = tstzrange(now() - interval '2 h', now())"
        await unit.connection.execute(text(past))
    assert (await service.http.delete(f"/tables/{table_id}")).status_code == 204
    answer = await service.http.get(f"/reservations/{made['id']}")
    assert (answer.status_code, answer.json()["customer_name"]) == (200, "Ada")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/restaurants/7", "restaurant_not_found"),
        ("/reservations/7", "reservation_not_found"),
    ],
)
async def test_what_is_not_there_is_a_problem(service: Service, path: str, code: str) -> None:
    answer = await service.http.get(path)
    assert (answer.status_code, answer.json()["code"]) == (404, code)


@pytest.mark.parametrize(
    "change",
    [
        {"table_id": 0},
        {"table_id": 2**63},
        {"table_id": "1"},
        {"customer_name": ""},
        {"customer_name": "x" * 101},
        {"duration_minutes": 0},
        {"duration_minutes": 1441},
        {"reservation_time": "soon"},
        {"reservation_time": 1893456000},
        {"reservation_time": "2020-01-01T12:00:00Z"},
        {"reservation_time": "9999-12-31T23:59:59Z"},
        {"reservation_time": "0001-01-01T00:00:00+14:00"},
        {"reservation_time": (datetime.now(UTC) - timedelta(seconds=5)).isoformat()},
    ],
)
async def test_what_breaks_a_limit_is_refused_and_stores_nothing(
    service: Service, change: dict[str, Any]
) -> None:
    _, [table_id] = await open_restaurant(service.http, seats=(4,))
    answer = await reserve(service.http, **{"table_id": table_id, **change})
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"]
    assert await statements(service, "allocations") == []


@pytest.mark.parametrize("zone", ["Mars/Olympus", "Europe", "", "../../etc/passwd", "UTC\u0000"])
async def test_an_unknown_time_zone_is_refused(service: Service, zone: str) -> None:
    body = {"name": "R", "address": "A", "timezone": zone}
    answer = await service.http.post("/restaurants", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")


async def test_a_key_makes_one_reservation(service: Service) -> None:
    _, [table_id] = await open_restaurant(service.http, seats=(4,))
    body = {
        "table_id": table_id,
        "customer_name": "Ada",
        "reservation_time": at(),
        "duration_minutes": 60,
    }
    headers = {"Idempotency-Key": "k"}
    first, again = [
        await service.http.post("/reservations", json=body, headers=headers) for _ in range(2)
    ]
    assert (first.status_code, first.content) == (201, again.content)
    assert again.headers["Idempotency-Replayed"] == "true"


async def test_a_refused_reservation_leaves_its_key_free(service: Service) -> None:
    _, [table_id] = await open_restaurant(service.http, seats=(4,))
    held = (await reserve(service.http, table_id)).json()
    body = {
        "table_id": table_id,
        "customer_name": "Eve",
        "reservation_time": at(),
        "duration_minutes": 60,
    }
    headers = {"Idempotency-Key": "k"}
    refused = await service.http.post("/reservations", json=body, headers=headers)
    await service.http.delete(f"/reservations/{held['id']}")
    accepted = await service.http.post("/reservations", json=body, headers=headers)
    assert (refused.status_code, accepted.status_code) == (409, 201)


async def test_every_post_and_patch_honours_a_key(service: Service) -> None:
    document = (await service.http.get("http://processor/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method in operations.keys() & {"post", "patch"}:
            names = {one["name"] for one in operations[method].get("parameters", ())}
            assert "Idempotency-Key" in names, (method, path)


async def test_the_documented_examples_work_when_pasted(service: Service) -> None:
    document = (await service.http.get("http://processor/openapi.json")).json()
    for path, model in (
        ("/restaurants", "AddRestaurant"),
        ("/tables", "AddTable"),
        ("/reservations", "ReserveTable"),
    ):
        [example] = document["components"]["schemas"][model]["examples"]
        answer = await service.http.post(path, json=example)
        assert answer.status_code == 201, answer.text

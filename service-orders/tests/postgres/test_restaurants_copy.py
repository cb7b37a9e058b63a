"""The copy of the restaurants follows the processor's events, and can be told them again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from contracts.restaurants import RestaurantCreated, TableCreated, TableDeleted
from kit.services.service import Service

NOW = datetime.now(UTC)
RESTAURANT = RestaurantCreated(
    restaurant_id=1,
    name="Trattoria",
    address="Harbour 1",
    description="By the sea",
    timezone="Europe/Rome",
    created_at=NOW,
)


def table(id_: int, seats: int) -> TableCreated:
    return TableCreated(
        restaurant_id=1, table_id=id_, name=f"T{id_}", seats=seats, location="", created_at=NOW
    )


def gone(id_: int) -> TableDeleted:
    return TableDeleted(restaurant_id=1, table_id=id_, deleted_at=NOW)


async def shown(service: Service) -> Any:
    return (await service.http.get("/api/v1/restaurants/1")).json()


async def test_a_restaurant_is_shown_with_its_tables_smallest_first(service: Service) -> None:
    await service.receive(RESTAURANT, table(1, 6), table(2, 2), table(3, 4), gone(3))
    found = await shown(service)
    assert (found["name"], found["timezone"]) == ("Trattoria", "Europe/Rome")
    assert [(one["id"], one["seats"]) for one in found["tables"]] == [(2, 2), (1, 6)]
    [listed] = (await service.http.get("/api/v1/restaurants")).json()["items"]
    assert listed == {key: value for key, value in found.items() if key != "tables"}


async def test_an_unknown_restaurant_is_a_problem(service: Service) -> None:
    answer = await service.http.get("/api/v1/restaurants/1")
    assert (answer.status_code, answer.json()["code"]) == (404, "restaurant_not_found")


async def test_a_table_of_an_unknown_restaurant_is_left_out_until_it_is_published_again(
    service: Service,
) -> None:
    """As while the copy is built anew."""
    await service.receive(table(1, 6), RESTAURANT, table(2, 2), table(1, 6))
    assert [one["id"] for one in (await shown(service))["tables"]] == [2, 1]


async def test_a_restaurant_that_is_published_again_replaces_its_copy(service: Service) -> None:
    await service.receive(RESTAURANT, table(1, 6), table(2, 2))
    renamed = RESTAURANT.model_copy(update={"name": "Osteria"})
    await service.receive(renamed, table(2, 2))
    found = await shown(service)
    assert found["name"] == "Osteria"
    assert [one["id"] for one in found["tables"]] == [2]

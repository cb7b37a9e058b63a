"""A restaurant with tables, and times to come at which somebody may want them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

# Noon of a day far enough off for no clock, and near enough for every limit.
NOON = (datetime.now(UTC) + timedelta(days=90)).replace(hour=12, minute=0, second=0, microsecond=0)


def at(minutes: float = 0) -> str:
    """So many minutes after that noon, as it stands in a request."""
    return (NOON + timedelta(minutes=minutes)).isoformat()


async def open_restaurant(
    http: httpx.AsyncClient, seats: Sequence[int] = (2, 4, 6), **changes: Any
) -> tuple[int, list[int]]:
    """The ids of a restaurant and of its tables, which seat so many each."""
    body = {"name": "R", "address": "A", **changes}
    restaurant = await http.post("/restaurants", json=body)
    assert restaurant.status_code == 201, restaurant.text
    id_ = restaurant.json()["id"]
    tables = []
    for number, places in enumerate(seats):
        table = {"restaurant_id": id_, "name": f"T{number}", "seats": places}
        answer = await http.post("/tables", json=table)
        assert answer.status_code == 201, answer.text
        tables.append(answer.json()["id"])
    return id_, tables


async def reserve(http: httpx.AsyncClient, table_id: int, **changes: Any) -> httpx.Response:
    """A reservation for an hour from that noon on, unless said otherwise."""
    body = {"table_id": table_id, "customer_name": "Ada", "reservation_time": at()}
    return await http.post("/reservations", json={**body, "duration_minutes": 60, **changes})

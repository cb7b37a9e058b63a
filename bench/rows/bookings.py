"""A booking from the request until it is seen to be CONFIRMED, at 50 bookings a second.

Both services, natively, each with its API and its worker; every booking has a table of its own
hour. Beside it, the same requests answered CREATED: what of it is the first service alone.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx

from bench.figures import Bench, Better, Figure, Judged, compare, setting
from bench.open_loop_load import percentile
from devstack.native.system import CHECKOUT, Layout, System

RATE, SECONDS, TABLES = 50, 10, 50
PERCENTS = (50, 99)


@dataclass
class Turn:
    """Milliseconds from the request."""

    created: list[float] = field(default_factory=list)
    confirmed: list[float] = field(default_factory=list)


async def run(bench: Bench) -> list[Figure]:
    seconds = setting("BENCH_BOOKINGS_SECONDS", SECONDS, least=2, most=600)
    turns: list[Turn] = []
    layout = Layout(CHECKOUT, bench.stack.home / "bookings")
    with System(layout) as system:
        async with httpx.AsyncClient(timeout=60, limits=httpx.Limits(max_connections=200)) as http:
            for number in bench.turns:
                restaurant = await _open_restaurant(http, system, number)
                turns.append(await _turn(http, system, restaurant, seconds))
                said = ", ".join(f"{value:.1f}" for value in _percentiles(turns[-1].confirmed))
                bench.note(f"turn {number + 1}: CONFIRMED after {said} ms (p50, p99)")
    return [_figure(place, percent, turns) for place, percent in enumerate(PERCENTS)]


async def _open_restaurant(http: httpx.AsyncClient, system: System, number: int) -> int:
    processor, orders = f"{system.urls['processor']}/api/v1", f"{system.urls['orders']}/api/v1"
    body: dict[str, object] = {"name": f"Bench {number}", "address": "Somewhere"}
    restaurant = (await http.post(f"{processor}/restaurants", json=body)).raise_for_status().json()
    for table in range(TABLES):
        body = {"restaurant_id": restaurant["id"], "name": f"t{table}", "seats": 4}
        (await http.post(f"{processor}/tables", json=body)).raise_for_status()
    async with asyncio.timeout(20):
        known = f"{orders}/restaurants/{restaurant['id']}"
        while (await http.get(known)).status_code != 200:  # noqa: ASYNC110 it is over there
            await asyncio.sleep(0.05)
    return int(restaurant["id"])


async def _turn(http: httpx.AsyncClient, system: System, restaurant: int, seconds: int) -> Turn:
    turn, began = Turn(), time.perf_counter()
    url = f"{system.urls['orders']}/api/v1/bookings"
    async with asyncio.TaskGroup() as group:
        for number in range(RATE * seconds):
            await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
            group.create_task(_book(http, url, restaurant, number, turn))
    return turn


async def _book(
    http: httpx.AsyncClient, url: str, restaurant: int, number: int, turn: Turn
) -> None:
    at = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=2)
    body = {
        "restaurant_id": restaurant,
        "booking_datetime": (at + timedelta(hours=number // TABLES)).isoformat(),
        "duration_minutes": 60,
        "guests_count": 2,
    }
    began = time.perf_counter()
    created = (await http.post(url, json=body)).raise_for_status().json()
    turn.created.append((time.perf_counter() - began) * 1000)
    answer = await http.get(f"{url}/{created['id']}", params={"wait": 20})
    turn.confirmed.append((time.perf_counter() - began) * 1000)
    if answer.json()["status"] != "CONFIRMED":
        raise RuntimeError(f"a booking ended {answer.json()}")


def _percentiles(values: list[float]) -> list[float]:
    return [percentile(values, percent) for percent in PERCENTS]


def _figure(place: int, percent: int, turns: list[Turn]) -> Figure:
    confirmed = [_percentiles(turn.confirmed)[place] for turn in turns]
    created = [_percentiles(turn.created)[place] for turn in turns]
    return Figure(
        f"booking → CONFIRMED seen, p{percent}",
        statistics.median(confirmed),
        "ms",
        "answered CREATED",
        statistics.median(created),
        compare(confirmed, created),
        judged=Judged.MEASURED,
        better=Better.LOWER,
        turns={"confirmed": confirmed, "created": created},
    )

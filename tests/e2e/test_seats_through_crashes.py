"""Bookings, cancellations and reservations while the processor is killed again and again.

`CHAOS_BOOKINGS` sets how many bookings; a short share of it runs with all other tests.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest

from kit.services.booking_client import Diner
from kit.services.worker_deaths import kill_processor_worker

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

BOOKINGS = int(os.environ.get("CHAOS_BOOKINGS", "150"))
KILLS = 5
SEATS = (2, 2, 4, 4, 6)
OVERLAPS = """
SELECT a.id FROM allocations a JOIN allocations b
    ON a.table_id = b.table_id AND a.id < b.id AND a.period && b.period
"""


def test_every_booking_ends_and_holds_what_it_says(diner: Diner) -> None:
    restaurant_id, tables = diner.open_restaurant(*SEATS)
    chance = random.Random(5)
    slots = max(8, BOOKINGS // 10)

    def book(number: int) -> int:
        """Every third books and thinks better of it, sooner or later."""
        booking_id = diner.book(restaurant_id, 1 + number % 6, 15 * (number % slots))
        if number % 3 == 0:
            time.sleep(number % 7 / 10)
            url = f"{diner.orders}/bookings/{booking_id}/cancel"
            diner.http.post(url)  # 409 if it was rejected before
        return booking_id

    def reserve(number: int) -> int:
        try:
            answer = diner.reserve(tables[number % len(tables)], 15 * (number % slots))
        except httpx.TransportError:
            return 0
        assert answer.status_code in (201, 409)
        return answer.status_code

    with ThreadPoolExecutor(12) as pool:
        booking = [pool.submit(book, number) for number in range(BOOKINGS)]
        reserving = [pool.submit(reserve, chance.randrange(10**6)) for _ in range(BOOKINGS // 5)]
        for kill in range(1, KILLS + 1):
            until_done(booking, kill / (KILLS + 1))
            until_it_works(diner)
            kill_processor_worker(diner.system)
        for future in [*booking, *reserving]:
            future.result()
    ends = diner.ends()
    assert diner.rows("SELECT reason, type, last_error FROM inbox_parked") == []
    assert set(ends) <= {"CONFIRMED", "REJECTED", "CANCELLED"}, ends
    accepted = [future.result() for future in reserving].count(201)
    assert_seats_add_up(diner, tables, ends, accepted)


def until_it_works(diner: Diner) -> None:
    """Until it has answered something, so that it is killed in the middle of its work."""
    answered = "SELECT count(*) FROM outbox WHERE aggregate_type = 'booking'"
    before, deadline = diner.rows(answered), time.monotonic() + 30
    diner.system.wait_ready()
    while diner.rows(answered) == before and time.monotonic() < deadline:
        time.sleep(0.02)


def until_done(running: Sequence[Future[int]], share: float) -> None:
    deadline = time.monotonic() + 300
    while sum(future.done() for future in running) < share * len(running):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def assert_seats_add_up(diner: Diner, tables: list[int], ends: Counter[str], reserved: int) -> None:
    """What is held is what is confirmed and what is reserved; nothing was freed twice."""
    here = f"table_id IN ({', '.join(map(str, tables))})"
    confirmed = set(
        diner.rows(
            f"SELECT id, table_id FROM bookings WHERE status = 'CONFIRMED' AND {here}", "orders"
        )
    )
    assert len(confirmed) == ends["CONFIRMED"]

    def held() -> set[tuple[int, int]]:
        query = f"SELECT booking_id, table_id FROM allocations WHERE {here} AND booking_id > 0"
        return set(diner.rows(query))

    deadline = time.monotonic() + 60
    while held() != confirmed and time.monotonic() < deadline:
        time.sleep(0.1)
    assert held() == confirmed
    assert diner.rows(OVERLAPS) == []
    reservations = f"SELECT FROM allocations WHERE {here} AND customer_name IS NOT NULL"
    assert len(diner.rows(reservations)) == reserved
    freed = f"SELECT booking_id FROM releases WHERE {here}"
    cancelled = "SELECT id FROM bookings WHERE status = 'CANCELLED'"
    assert {id_ for (id_,) in diner.rows(freed)} <= {
        id_ for (id_,) in diner.rows(cancelled, "orders")
    }
    assert diner.rows("SELECT count(*) FROM booking_decisions WHERE restaurant_id IN"
                      f" (SELECT restaurant_id FROM tables WHERE id = {tables[0]})") == [
        (len(diner.booked),)
    ]  # fmt: skip

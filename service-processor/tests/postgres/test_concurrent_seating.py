"""Many at once for the same tables: no overlap, and nobody is refused who could have sat.

`CHAOS_SEATS` sets how many at once (500 shows the promise in full), `CHAOS_SEAT_ROUNDS` how often
twelve parties race; a share of it runs with all other tests.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from contracts.bookings import BookingCreated
from kit.services.booking_events import HOUR, booking, decided, rows
from kit.services.restaurant import NOON, at, open_restaurant, reserve
from kit.services.service import Service

AT_ONCE = int(os.environ.get("CHAOS_SEATS", "100"))
ROUNDS = int(os.environ.get("CHAOS_SEAT_ROUNDS", "5"))

pytestmark = [
    pytest.mark.timeout(60 + AT_ONCE + 10 * ROUNDS),
    pytest.mark.usefixtures("patience"),
]

OVERLAPS = """
SELECT a.id, b.id FROM allocations a JOIN allocations b
    ON a.table_id = b.table_id AND a.id < b.id AND a.period && b.period
"""
# A refusal was right if every table that fits had a committed allocation in the way. Nothing is
# cancelled here, so that what stood in the way stands there still.
UNFOUNDED = """
SELECT d.booking_id, t.id FROM booking_decisions d
  JOIN tables t ON t.restaurant_id = d.restaurant_id AND t.seats >= d.guests_count
 WHERE d.outcome = 'REJECTED' AND NOT EXISTS (
   SELECT FROM jsonb_to_recordset(d.obstacles) AS o(table_id bigint, allocation_id bigint)
     JOIN allocations a ON a.id = o.allocation_id AND a.table_id = o.table_id
    WHERE o.table_id = t.id AND a.period && d.period)
"""


async def at_once(service: Service, parties: Sequence[BookingCreated]) -> None:
    """Each in a transaction of its own, as many at a time as there are connections."""
    await asyncio.gather(*(service.receive(party) for party in parties))


async def outcomes(service: Service, parties: Sequence[BookingCreated]) -> Counter[str]:
    return Counter([(await decided(service, party)).outcome for party in parties])


async def test_of_many_reservations_for_one_table_those_accepted_do_not_overlap(
    service: Service,
) -> None:
    _, [table_id] = await open_restaurant(service.http, seats=(4,))
    chance = random.Random(6)
    answers = await asyncio.gather(
        *(
            reserve(service.http, table_id, reservation_time=at(chance.randrange(0, 600, 5)))
            for _ in range(AT_ONCE)
        )
    )
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {201, 409}
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"table_already_reserved"}
    assert await rows(service, OVERLAPS) == []
    [(held,)] = await rows(service, "SELECT count(*) FROM allocations")
    assert held == statuses[201]


async def test_bookings_and_reservations_race_for_ten_tables(service: Service) -> None:
    restaurant_id, tables = await open_restaurant(
        service.http, seats=(2, 2, 2, 4, 4, 4, 6, 6, 8, 8)
    )
    chance = random.Random(7)
    parties = [
        booking(
            restaurant_id,
            chance.randint(1, 9),
            NOON + timedelta(minutes=15 * chance.randrange(64)),
        )
        for _ in range(AT_ONCE)
    ]

    async def walk_in() -> int:
        minutes = 15 * chance.randrange(64)
        table_id = chance.choice(tables)
        answer = await reserve(service.http, table_id, reservation_time=at(minutes))
        return answer.status_code

    walked = await asyncio.gather(
        at_once(service, parties), *(walk_in() for _ in range(AT_ONCE * 2 // 5))
    )
    statuses = Counter(status for status in walked if status is not None)
    assert set(statuses) <= {201, 409}
    assert await rows(service, OVERLAPS) == []
    assert await rows(service, UNFOUNDED) == []
    ends = await outcomes(service, parties)
    assert ends.total() == AT_ONCE
    [(held,)] = await rows(service, "SELECT count(*) FROM allocations")
    assert held == ends["CONFIRMED"] + statuses[201]


async def test_of_twelve_parties_for_ten_tables_ten_are_seated(service: Service) -> None:
    for number in range(ROUNDS):
        restaurant_id, _ = await open_restaurant(service.http, seats=(4,) * 10)
        parties = [booking(restaurant_id, 2, NOON + number * HOUR) for _ in range(12)]
        await at_once(service, parties)
        assert await outcomes(service, parties) == {"CONFIRMED": 10, "REJECTED": 2}
    assert await rows(service, UNFOUNDED) == []


async def test_twelve_parties_for_twelve_hours_share_one_table(service: Service) -> None:
    for _ in range(ROUNDS):
        restaurant_id, _ = await open_restaurant(service.http, seats=(4,))
        parties = [booking(restaurant_id, 2, NOON + number * HOUR) for number in range(12)]
        await at_once(service, parties)
        assert await outcomes(service, parties) == {"CONFIRMED": 12}


@pytest.mark.parametrize("by", ["reservation", "booking"])
async def test_no_party_gets_a_table_that_is_being_deleted(service: Service, by: str) -> None:
    seen: Counter[Any] = Counter()
    for _ in range(ROUNDS * 4):
        restaurant_id, [table_id] = await open_restaurant(service.http, seats=(4,))
        party = booking(restaurant_id, 2)
        sitting = reserve(service.http, table_id) if by == "reservation" else service.receive(party)
        deletion, _ = await asyncio.gather(service.http.delete(f"/tables/{table_id}"), sitting)
        held = await rows(service, f"SELECT FROM allocations WHERE table_id = {table_id}")
        assert (deletion.status_code, len(held)) in {(204, 0), (409, 1)}
        seen[deletion.status_code] += 1
    assert await rows(service, "SELECT FROM tables JOIN allocations a ON a.table_id = tables.id"
                               " WHERE deleted_at IS NOT NULL") == []  # fmt: skip


async def test_tables_are_added_deleted_and_republished_without_a_deadlock(
    service: Service,
) -> None:
    from service_processor.republishing import republish_restaurants

    restaurant_id, tables = await open_restaurant(service.http, seats=(2,) * 20)

    async def come() -> int:
        body = {"restaurant_id": restaurant_id, "name": "new", "seats": 2}
        return (await service.http.post("/tables", json=body)).status_code

    async def go(table_id: int) -> int:
        return (await service.http.delete(f"/tables/{table_id}")).status_code

    statuses = await asyncio.gather(
        *(come() for _ in range(20)),
        *(go(table_id) for table_id in tables),
        *(republish_restaurants(service.work) for _ in range(5)),
    )
    assert set(statuses) == {201, 204, 1}
    [(last, count)] = await rows(
        service, "SELECT max(sequence), count(*) FROM outbox WHERE aggregate_type = 'restaurant'"
    )
    assert last == count

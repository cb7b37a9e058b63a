"""What becomes of bookings: the smallest table that fits, or the reason why there is none."""

from __future__ import annotations

from datetime import datetime

import pytest

from kit.services.booking_events import HOUR, booking, cancelled, decided, rows
from kit.services.restaurant import NOON, open_restaurant, reserve
from kit.services.service import Service
from outbox import Stream


async def test_a_party_gets_the_smallest_table_that_seats_it(service: Service) -> None:
    restaurant_id, [eight, two, four] = await open_restaurant(service.http, seats=(8, 2, 4))
    parties = [booking(restaurant_id, 3), booking(restaurant_id, 3), booking(restaurant_id, 1)]
    await service.receive(*parties)
    assert [(await decided(service, asked)).table_id for asked in parties] == [four, eight, two]


async def test_the_answer_is_checking_then_the_outcome(service: Service) -> None:
    restaurant_id, _ = await open_restaurant(service.http, seats=(2,))
    parties = [booking(restaurant_id, 2), booking(restaurant_id, 2), booking(restaurant_id, 9)]
    await service.receive(*parties)
    for asked, outcome in zip(parties, ("confirmed", "rejected", "rejected"), strict=True):
        stream = Stream("service-processor", "booking", asked.aggregate_id)
        answers = [event for event in await service.events() if event.stream == stream]
        assert [(answer.type, answer.sequence) for answer in answers] == [
            ("booking.checking", 1),
            (f"booking.{outcome}", 2),
        ]
    reasons = [(await decided(service, asked)).reason for asked in parties]
    assert reasons == [None, "no table free", "no table big enough"]


async def test_a_rejection_records_the_conflicting_allocations(service: Service) -> None:
    restaurant_id, [two, four, six] = await open_restaurant(service.http)
    await reserve(service.http, four)
    held = booking(restaurant_id, 5, NOON + HOUR / 2)
    refused = booking(restaurant_id, 3, NOON + HOUR / 2)
    await service.receive(held, refused)
    decision = await decided(service, refused)
    assert {one["table_id"] for one in decision.obstacles} == {four, six}
    assert two not in {one["table_id"] for one in decision.obstacles}
    [reserved] = [one for one in decision.obstacles if one["table_id"] == four]
    assert datetime.fromisoformat(reserved["from"]) == NOON
    assert (await decided(service, held)).obstacles == []


async def test_a_batch_serves_the_parties_of_each_restaurant_in_their_order(
    service: Service,
) -> None:
    opened = [await open_restaurant(service.http, seats=(2, 4)) for _ in range(2)]
    parties = [booking(id_, 2, NOON + step * HOUR) for step in range(2) for id_, _ in opened * 3]
    await service.receive(*parties)
    decisions = [await decided(service, asked) for asked in parties]
    expected = [tables[rank] if rank < 2 else None for rank in range(3) for _, tables in opened]
    assert [decision.table_id for decision in decisions] == expected * 2
    for number, refused in enumerate(decisions):
        if refused.table_id is None:
            first, second = (decisions[number - back].booking_id for back in (4, 2))
            kept = [one["allocation_id"] for one in refused.obstacles]
            holders = "SELECT booking_id FROM allocations WHERE id = ANY(ARRAY{}) ORDER BY 1"
            assert await rows(service, holders.format(kept)) == [(first,), (second,)]


async def test_touching_bookings_fit(service: Service) -> None:
    restaurant_id, _ = await open_restaurant(service.http, seats=(2,))
    parties = [booking(restaurant_id, 2, NOON + step * HOUR) for step in (0, 1, -1)]
    await service.receive(*parties)
    assert {(await decided(service, asked)).outcome for asked in parties} == {"CONFIRMED"}


async def test_a_deleted_table_is_never_allocated(service: Service) -> None:
    restaurant_id, [table_id] = await open_restaurant(service.http, seats=(2,))
    await service.http.delete(f"/tables/{table_id}")
    asked = booking(restaurant_id, 2)
    await service.receive(asked)
    assert (await decided(service, asked)).reason == "no table big enough"


async def test_a_booked_table_is_neither_reserved_nor_deleted(service: Service) -> None:
    restaurant_id, [table_id] = await open_restaurant(service.http, seats=(2,))
    await service.receive(booking(restaurant_id, 2))
    assert (await reserve(service.http, table_id)).json()["code"] == "table_already_reserved"
    answer = await service.http.delete(f"/tables/{table_id}")
    assert answer.json()["code"] == "table_in_use"


async def test_a_booking_is_no_reservation(service: Service) -> None:
    restaurant_id, _ = await open_restaurant(service.http, seats=(2,))
    await service.receive(booking(restaurant_id, 2))
    [(allocation_id,)] = await rows(service, "SELECT id FROM allocations")
    path = f"/reservations/{allocation_id}"
    assert (await service.http.get(path)).status_code == 404
    assert (await service.http.delete(path)).status_code == 404
    assert (await service.http.get("/reservations")).json()["items"] == []


@pytest.mark.parametrize("together", [True, False])
async def test_a_cancelled_booking_releases_its_table_once(
    service: Service, together: bool
) -> None:
    restaurant_id, [table_id] = await open_restaurant(service.http, seats=(2,))
    asked = booking(restaurant_id, 2)
    if together:
        await service.receive(asked, cancelled(asked))
    else:
        await service.receive(asked)
        for _ in range(2):
            await service.receive(cancelled(asked))
    assert await rows(service, "SELECT * FROM allocations") == []
    assert await rows(service, "SELECT table_id FROM releases") == [(table_id,)]
    assert (await decided(service, asked)).cancelled_at is not None
    assert (await reserve(service.http, table_id)).status_code == 201


async def test_cancelling_a_rejected_booking_releases_nothing(service: Service) -> None:
    restaurant_id, _ = await open_restaurant(service.http, seats=(2,))
    held, refused = booking(restaurant_id, 2), booking(restaurant_id, 2)
    await service.receive(held, refused, cancelled(refused))
    assert await rows(service, "SELECT booking_id FROM allocations") == [(held.booking_id,)]
    assert await rows(service, "SELECT * FROM releases") == []


async def test_a_batch_of_cancellations_releases_each_table_once(service: Service) -> None:
    opened = [await open_restaurant(service.http, seats=(2,)) for _ in range(3)]
    held = [booking(id_, 2) for id_, _ in opened]
    refused, kept = booking(opened[0][0], 2), booking(opened[0][0], 2, NOON + HOUR)
    await service.receive(*held, refused, kept)
    await service.receive(*map(cancelled, [*held, refused]))
    assert await rows(service, "SELECT booking_id FROM allocations") == [(kept.booking_id,)]
    released = await rows(service, "SELECT booking_id FROM releases ORDER BY booking_id")
    assert released == [(one.booking_id,) for one in held]
    for one in (*held, refused):
        assert (await decided(service, one)).cancelled_at is not None
    assert (await decided(service, kept)).cancelled_at is None


async def test_a_booking_that_cannot_be_decided_is_parked_alone(service: Service) -> None:
    restaurant_id, tables = await open_restaurant(service.http, seats=(2, 2, 2))
    good, bad, also_good = (booking(restaurant_id, 2) for _ in range(3))
    bad = bad.model_copy(update={"ends_at": bad.starts_at})
    [parked] = await service.deliver(*service.envelopes(good, bad, also_good))
    assert parked.stream.aggregate_id == bad.aggregate_id
    assert [(await decided(service, one)).table_id for one in (good, also_good)] == tables[:2]


async def test_a_cancellation_that_arrives_first_waits_for_its_booking(service: Service) -> None:
    restaurant_id, _ = await open_restaurant(service.http, seats=(2,))
    asked = booking(restaurant_id, 2)
    created, cancellation = service.envelopes(asked, cancelled(asked))
    [waiting] = await service.deliver(cancellation)
    assert waiting.reason == "gap"
    assert await rows(service, "SELECT * FROM booking_decisions") == []
    assert await service.deliver(created) == []
    assert await rows(service, "SELECT * FROM allocations") == []
    assert len(await rows(service, "SELECT * FROM releases")) == 1

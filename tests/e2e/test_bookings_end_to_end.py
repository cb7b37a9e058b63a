"""A booking from the request to its table, through both services and the broker."""

from __future__ import annotations

import time

import pytest

from kit.services.booking_client import Diner

TRIES = 5
"""A machine that stands still for a moment is no slow system; one that polls is, every time."""

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_a_booking_is_confirmed_with_the_smallest_table(diner: Diner) -> None:
    restaurant_id, [four, two] = diner.open_restaurant(4, 2)
    ends = [diner.end_of(diner.book(restaurant_id, guests)) for guests in (2, 2, 2, 9)]
    assert [(end["status"], end["table_id"], end["reason"]) for end in ends] == [
        ("CONFIRMED", two, None),
        ("CONFIRMED", four, None),
        ("REJECTED", None, "no table free"),
        ("REJECTED", None, "no table big enough"),
    ]


def test_a_new_restaurant_can_be_booked_within_a_second(diner: Diner) -> None:
    took = []
    for _ in range(TRIES):
        began = time.monotonic()
        diner.open_restaurant(2)
        took.append(time.monotonic() - began)
    assert min(took) < 1, took


def test_a_cancelled_booking_frees_its_table(diner: Diner) -> None:
    restaurant_id, [table_id] = diner.open_restaurant(2)
    booking_id = diner.book(restaurant_id)
    assert diner.end_of(booking_id)["status"] == "CONFIRMED"
    cancelled = diner.http.post(f"{diner.orders}/bookings/{booking_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["table_id"]) == (200, table_id)
    deadline = time.monotonic() + 20
    while diner.reserve(table_id).status_code != 201:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert len(diner.rows(f"SELECT FROM releases WHERE booking_id = {booking_id}")) == 1

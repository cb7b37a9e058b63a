"""Beacons and requests to send again, to bytes and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from outbox.errors import UnreadableMessage
from outbox.rabbitmq.beacons import BEACONS, MAX_STREAMS, Beacon, is_beacon
from outbox.resend_events import (
    MAX_EVENTS,
    BeaconsMissed,
    EventsUnavailable,
    ResendRequested,
    StreamRanges,
)

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
BEACON = Beacon("shop", "order", 7, NOON, NOON + timedelta(minutes=1), {"a": 3, "b": 9})
SOME = (StreamRanges("order", "a", ((1, 3), (5, 5))),)


def delivered(beacon: Beacon, **changes: Any) -> Any:
    message = beacon.to_message()
    body = {**json.loads(message.body), **changes}
    properties = SimpleNamespace(
        app_id=message.app_id, message_type=message.type, headers=dict(message.headers)
    )
    return SimpleNamespace(
        exchange=BEACONS,
        body=json.dumps(body).encode(),
        header=SimpleNamespace(properties=properties),
    )


def test_a_beacon_comes_back_as_it_was() -> None:
    assert is_beacon(delivered(BEACON))
    assert Beacon.from_delivery(delivered(BEACON)) == BEACON
    assert BEACON.routing_key == "shop/order"


@pytest.mark.parametrize(
    "changes",
    [
        {"number": 0},
        {"number": True},
        {"number": "7"},
        {"since": "yesterday"},
        {"since": "2026-11-26T12:00:00"},
        {"since": "0001-01-01T00:00:00Z"},
        {"until": "9999-12-31T23:59:59-14:00"},
        {"until": "2026-11-26T11:00:00Z"},
        {"streams": ["a"]},
        {"streams": {"a": -1}},
        {"streams": {"a": 2**63 - 1}},
        {"streams": {"": 1}},
        {"streams": {"a\0b": 1}},
        {"streams": {str(n): 1 for n in range(MAX_STREAMS + 1)}},
        {"streams": None},
    ],
)
def test_a_beacon_with_a_wrong_body_is_unreadable(changes: dict[str, Any]) -> None:
    with pytest.raises(UnreadableMessage):
        Beacon.from_delivery(delivered(BEACON, **changes))


def test_a_request_and_an_answer_come_back_as_they_were() -> None:
    asked = ResendRequested("shop", "kitchen.orders", SOME, (BeaconsMissed("order", NOON),))
    told = EventsUnavailable("shop", "kitchen.orders", SOME)
    assert ResendRequested.parse(asked.payload()) == asked
    assert EventsUnavailable.parse(told.payload()) == told
    assert SOME[0].count == 4


@pytest.mark.parametrize("range_", [(0, 1), (3, 2), (-1, 1), (1, MAX_EVENTS + 1)])
def test_a_request_for_impossible_events_is_refused(range_: tuple[int, int]) -> None:
    asked = ResendRequested("shop", "kitchen.orders", (StreamRanges("order", "a", (range_,)),))
    with pytest.raises(ValueError, match=r"range|events"):
        ResendRequested.parse(asked.payload())

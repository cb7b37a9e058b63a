"""A request clears `published_at` of exactly what it asks for, and hears of what is not kept."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from kit.outbox.world import Happened, World
from outbox import Handlers, Subscription, metrics, resend_handlers, resending
from outbox.errors import InvalidSetting, Unreadable
from outbox.event import Envelope
from outbox.inbox.event_classes import reader_of
from outbox.log import resend_queries
from outbox.resend_events import (
    MAX_EVENTS,
    RESENDING,
    BeaconsMissed,
    EventsUnavailable,
    Ranges,
    ResendRequested,
    StreamRanges,
)
from outbox.testing import Source, deliver, emitted

BACK = Subscription("kitchen", "shop.streams", "kitchen", (RESENDING,))
LATER = datetime(2026, 11, 26, 13, tzinfo=UTC)
EARLIER = datetime(2026, 11, 26, 12, tzinfo=UTC)


def of(id_: str, *ranges: tuple[int, int]) -> StreamRanges:
    return StreamRanges("order", id_, ranges)


def request(*streams: StreamRanges, source: str = "shop", **more: Any) -> ResendRequested:
    return ResendRequested(source, "kitchen.orders", streams, **more)


async def ask(world: World, *requests: ResendRequested, handlers: Handlers | None = None) -> None:
    envelopes = Source("kitchen").envelopes(*requests)
    handlers = handlers or resend_handlers(BACK)
    assert await deliver(world.work, BACK.queue, handlers, *envelopes) == []


def test_a_queue_that_takes_no_requests_is_refused_for_the_way_back() -> None:
    orders = Subscription("kitchen", "shop.orders", "kitchen", ("order",))
    with pytest.raises(InvalidSetting, match=r"shop\.orders does not have the aggregate type"):
        resend_handlers(orders)


async def published(world: World, *events: Happened) -> None:
    await world.emit(*events)
    await world.execute("UPDATE outbox SET published_at = clock_timestamp()")


async def go_again(world: World) -> list[tuple[object, ...]]:
    return await world.rows(
        "SELECT aggregate_id, sequence FROM outbox WHERE published_at IS NULL AND attempts = 0"
        " AND aggregate_type = 'order' ORDER BY id"
    )


async def unavailable(world: World) -> dict[str, Ranges]:
    answers = await emitted(world.work, EventsUnavailable)
    assert all((one.source, one.consumer) == ("shop", "kitchen.orders") for one in answers)
    return {one.aggregate_id: one.ranges for answer in answers for one in answer.streams}


async def test_exactly_the_events_that_are_asked_for_go_again(world: World) -> None:
    await published(world, *(Happened(id_) for id_ in "aaaaabbbc"))
    await world.execute("UPDATE outbox SET attempts = 3, last_error = 'returned'")
    await ask(world, request(of("a", (2, 3), (5, 5)), of("c", (1, 1)), of("b")))
    assert await go_again(world) == [("a", 2), ("a", 3), ("a", 5), ("c", 1)]
    assert await unavailable(world) == {}


async def test_what_is_no_longer_kept_is_said_once_and_the_rest_goes_again(world: World) -> None:
    await published(world, *(Happened("a") for _ in range(9)), Happened("b"))
    await world.execute("DELETE FROM outbox WHERE aggregate_id = 'a' AND sequence IN (1, 2, 3, 7)")
    await ask(world, request(of("a", (1, 8)), of("b", (1, 4)), of("never", (1, 1))))
    assert await go_again(world) == [("a", n) for n in (4, 5, 6, 8)] + [("b", 1)]
    assert await unavailable(world) == {
        "a": ((1, 3), (7, 7)),
        "b": ((2, 4),),
        "never": ((1, 1),),
    }


async def test_events_that_are_unpublished_or_parked_at_their_source_count_as_kept(
    world: World,
) -> None:
    await world.emit(Happened("a"), Happened("a"))
    await world.execute("UPDATE outbox SET parked_at = clock_timestamp() WHERE sequence = 2")
    await ask(world, request(of("a", (1, 2))), request(of("a", (1, 3))))
    assert await unavailable(world) == {"a": ((3, 3),)}
    [(parked,)] = await world.rows("SELECT count(*) FROM outbox WHERE parked_at IS NOT NULL")
    assert parked == 1


async def test_behind_a_long_backlog_nothing_counts_as_missing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.resending.BACKLOG", 3)
    assert resend_queries.BACKLOG == 100_000
    await world.emit(*(Happened("new") for _ in range(3)))
    await ask(world, request(of("a", (1, 2))))
    assert await unavailable(world) == {}


async def test_a_request_to_another_source_is_ignored(world: World) -> None:
    await published(world, Happened("a"))
    await ask(
        world, request(of("a", (1, 9)), source="bar", beacons=(BeaconsMissed("order", EARLIER),))
    )
    assert await go_again(world) == []
    assert await unavailable(world) == {}


async def test_the_same_id_of_another_type_or_source_is_left_alone(world: World) -> None:
    await published(world, Happened("a", type="user.happened", aggregate_type="user"))
    await world.execute("INSERT INTO outbox_beacons VALUES ('bar', 'order', 1, %s)", LATER)
    await ask(world, request(of("a", (1, 1)), beacons=(BeaconsMissed("order", EARLIER),)))
    assert await world.unpublished() == 1, "only the answer"
    assert await unavailable(world) == {"a": ((1, 1),)}
    assert await world.rows("SELECT asked_since FROM outbox_beacons") == [(None,)]


async def test_beacons_that_a_consumer_has_lost_are_told_once_more(world: World) -> None:
    await world.execute(
        "INSERT INTO outbox_beacons VALUES ('shop', 'order', 7, %s), ('shop', 'user', 9, %s)",
        LATER,
        LATER,
    )
    missed = (BeaconsMissed("order", EARLIER), BeaconsMissed("unknown", EARLIER))
    await ask(world, request(beacons=missed))
    between = EARLIER + (LATER - EARLIER) / 2
    await ask(world, request(beacons=(BeaconsMissed("order", between),)))
    await ask(world, request(beacons=(BeaconsMissed("user", LATER),)))
    assert await world.rows(
        "SELECT aggregate_type, number, until, asked_since FROM outbox_beacons ORDER BY 1"
    ) == [("order", 7, LATER, EARLIER), ("user", 9, LATER, None)]


async def test_a_time_before_all_times_is_one_that_postgresql_gives_back(world: World) -> None:
    await world.execute("INSERT INTO outbox_beacons VALUES ('shop', 'order', 7, %s)", LATER)
    first = datetime.fromisoformat("0001-01-01T00:00:00+14:00")
    await ask(world, request(beacons=(BeaconsMissed("order", first),)))
    assert await world.rows("SELECT extract(year FROM asked_since)::int FROM outbox_beacons") == [
        (2000,)
    ]


async def test_two_requests_for_the_same_events_are_one_resend(world: World) -> None:
    await published(world, Happened("a"), Happened("a"))
    await ask(world, request(of("a", (1, 2))), request(of("a", (1, 1), (1, 2))))
    assert await go_again(world) == [("a", 1), ("a", 2)]
    assert await unavailable(world) == {}


async def test_a_consumer_that_asks_without_end_gets_no_more_than_the_limit(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(resending, "AT_ONCE", 6)
    monkeypatch.setattr(resending, "A_SECOND", 0)
    handlers, put_off = resend_handlers(BACK), metrics.PUT_OFF._value
    before, again = put_off.get(), []
    for _ in range(4):
        await published(world, Happened("a"))
        await ask(world, request(of("a", (1, 4))), handlers=handlers)
        again.append(len(await go_again(world)))
    assert again == [1, 2, 0, 0]
    assert put_off.get() - before == 10
    assert "2 wait for the next request of 'kitchen.orders'" in caplog.text


async def test_what_is_put_off_does_not_count_as_gone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resending, "AT_ONCE", 2)
    await published(world, *(Happened("a") for _ in range(3)))
    await ask(world, request(of("a", (1, 9)), of("never", (1, 9))))
    assert await go_again(world) == [("a", 1), ("a", 2)]
    assert await unavailable(world) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {
            "streams": [
                {"aggregate_type": "order", "aggregate_id": "a", "ranges": [[1, MAX_EVENTS + 1]]}
            ]
        },
        {
            "streams": [
                {"aggregate_type": "order", "aggregate_id": "a", "ranges": [[2**63 - 1, 2**63 - 1]]}
            ]
        },
        {"streams": [{"aggregate_type": "order", "aggregate_id": "a", "ranges": [[0, 1]]}]},
        {"streams": [{"aggregate_type": "order", "aggregate_id": "a\0", "ranges": [[1, 1]]}]},
        {"streams": [{"aggregate_type": "\ud800", "aggregate_id": "a", "ranges": [[1, 1]]}]},
        {"streams": [{"aggregate_type": "order", "aggregate_id": "a", "ranges": []}] * 1001},
        {"streams": {"a": 1}},
        {"beacons": [{"aggregate_type": "order", "since": "2026-11-26T12:00:00"}]},
        {"beacons": [{"aggregate_type": "order", "since": "9999999999"}]},
        {"consumer": "x" * 256},
        {"consumer": 7},
    ],
)
async def test_a_hostile_request_is_unreadable(changes: dict[str, object]) -> None:
    [envelope] = Source("kitchen").envelopes(request(of("a", (1, 1))))
    body = {**json.loads(envelope.payload), **changes}
    hostile = Envelope(
        **{name: getattr(envelope, name) for name in Envelope.__slots__ if name != "payload"},
        payload=json.dumps(body).encode(),
    )
    with pytest.raises(Unreadable):
        reader_of(ResendRequested)(hostile)

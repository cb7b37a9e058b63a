"""When a round of beacons is due, and what its beacons say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from outbox.log.beacon_queries import Position, Published, Situation, Span
from outbox.rabbitmq.beacons import Beacon, beacon_key
from outbox.relay.beacons import beacons_of, due

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
ORDER, USER = ("shop", "order"), ("shop", "user")


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def situation(
    now: float, last: float | None, *, asked: float | None = None, **untils: float
) -> Situation:
    """`asked` is since when beacons of users are asked for."""
    since = None if asked is None else after(asked)
    positions = {
        ("shop", kind): Position(7, after(until), since if kind == "user" else None)
        for kind, until in untils.items()
    }
    return Situation(after(now), None if last is None else after(last), positions)


def test_nothing_is_due_while_nothing_is_published() -> None:
    assert due(situation(3600, None), MINUTE) is None
    assert due(situation(3600, -10, order=0), MINUTE) is None
    assert due(situation(3600, 0, order=0), MINUTE) is None


def test_a_round_is_due_when_publishing_has_stopped_for_five_seconds() -> None:
    assert due(situation(12, 10, order=0), MINUTE) is None
    assert due(situation(15, 10, order=0), MINUTE) == Span(NOON, after(12))


def test_a_round_is_due_each_minute_while_events_are_published() -> None:
    assert due(situation(59, 58.9, order=0), MINUTE) is None
    assert due(situation(60, 59.9, order=0), MINUTE) == Span(NOON, after(57))


def test_the_first_round_begins_a_minute_before_it() -> None:
    assert due(situation(0, -2), MINUTE) == Span(after(-60), after(-3))


def test_what_is_asked_for_does_not_delay_what_is_new() -> None:
    found = situation(100, 99, order=0, user=0, asked=-3600)
    assert due(found, MINUTE) == Span(NOON, after(97))
    told = situation(100, 99, order=97, user=97, asked=-3600)
    assert due(told, MINUTE) == Span(after(-3600), after(97), frozenset({USER}))


def test_after_a_clock_was_set_back_beacons_go_on_from_a_minute_before() -> None:
    assert due(situation(0, 1000, order=900), MINUTE) == Span(after(-60), after(-3))
    assert due(situation(50, 1000, order=-3), MINUTE) is None
    assert due(situation(60, 1000, order=-3), MINUTE) == Span(after(-3), after(57))


def test_each_beacon_of_a_round_has_the_next_number_and_only_the_last_one_ends_later() -> None:
    chunks = [(ORDER, {"a": 1}), (ORDER, {"b": 2}), (USER, {"c": 3})]
    published = Published(after(60), False, chunks)
    found = situation(63, 60, order=0)
    made = list(beacons_of(found.positions, Span(NOON, after(60)), published))
    assert [(one.aggregate_type, one.number, one.until) for one in made] == [
        ("order", 8, NOON),
        ("order", 9, after(60)),
        ("user", 1, after(60)),
    ]
    assert {one.since for one in made} == {NOON}
    assert [one.streams for one in made] == [{"a": 1}, {"b": 2}, {"c": 3}]


def test_what_is_asked_for_is_answered_although_nothing_was_published_since() -> None:
    found = situation(100, -5, order=0, user=0, asked=-60)
    span = due(found, MINUTE)
    assert span is not None
    assert [*beacons_of(found.positions, span, Published(NOON, False, []))] == [
        Beacon("shop", "user", 8, after(-60), NOON, {})
    ]


def test_a_key_that_would_be_too_long_is_a_digest() -> None:
    assert beacon_key("shop", "order") == "shop/order"
    long = beacon_key("s" * 200, "ü" * 100)
    assert len(long) == 64
    assert long != beacon_key("s" * 200, "ü" * 101)

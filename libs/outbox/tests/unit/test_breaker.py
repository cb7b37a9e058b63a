"""When an event type trips, and which of its events may pass."""

from __future__ import annotations

from kit.manual_clock import Clock
from kit.outbox.deliveries import events
from outbox.fingerprints import Cause
from outbox.inbox.breaker import Breaker, CircuitBreaker

AWAY, LATE, BUG = Cause("ConnectError", "a"), Cause("ReadTimeout", "a"), Cause("KeyError", "b")
TYPE = events(1, "a")[0].type


def breaker(streams: int = 3) -> Breaker:
    return Breaker(CircuitBreaker(streams=streams), Clock())


def fails(breaker: Breaker, cause: Cause, *aggregates: str) -> bool:
    found = [breaker.failed(events(1, name)[0], cause) for name in aggregates]
    return any(found)


def test_many_streams_that_fail_with_one_cause_trip_their_type() -> None:
    one = breaker()
    assert not fails(one, AWAY, "a", "b", "a", "b")
    assert fails(one, AWAY, "c")
    [event] = events(1, "d")
    assert one.closes(event) == "its type has tripped: ConnectError in a"
    assert list(one.closed_types) == [TYPE]
    assert one.newly_tripped() == {TYPE: AWAY}


def test_a_success_of_the_type_begins_the_count_again() -> None:
    one = breaker()
    assert not fails(one, AWAY, "a", "b")
    one.succeeded(TYPE)
    assert not fails(one, AWAY, "c", "d")


def test_failures_are_counted_together_within_the_window_only() -> None:
    clock = Clock()
    one = Breaker(CircuitBreaker(streams=3, window=60), clock)
    assert not fails(one, AWAY, "a", "b")
    clock.now = 61
    assert not fails(one, AWAY, "c", "d")
    assert fails(one, AWAY, "e")


def test_a_cause_that_is_one_of_many_trips_nothing() -> None:
    one = breaker()
    for n in range(20):
        assert not fails(one, (AWAY, LATE, BUG)[n % 3], str(n))


def test_two_causes_of_one_outage_trip_the_type() -> None:
    one = breaker()
    assert any(fails(one, (AWAY, LATE)[n % 2], str(n)) for n in range(6))


def test_without_settings_nothing_trips() -> None:
    assert not fails(Breaker(None), AWAY, *map(str, range(100)))


def test_one_event_may_pass_as_a_probe() -> None:
    one = breaker(1)
    assert fails(one, AWAY, "a")
    first, second = events(2, "a")
    with one.probing(first.stream, first.sequence):
        assert one.closes(first) is None
        assert one.closes(second)
    assert one.closes(first)


def test_what_the_table_says_is_obeyed_and_what_is_not_in_it_yet_stays_closed() -> None:
    one = breaker(1)
    assert fails(one, AWAY, "a")
    assert one.obey({"order.payed": "KeyError"}, known=()) == set()
    assert sorted(one.closed_types) == sorted([TYPE, "order.payed"])
    assert one.obey({TYPE: str(AWAY), "order.payed": "KeyError"}, known=[TYPE]) == set()
    assert one.newly_tripped() == {}
    assert one.obey({}, known=()) == {TYPE, "order.payed"}
    assert not one.closed_types

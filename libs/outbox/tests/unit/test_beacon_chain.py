"""What the numbers of beacons tell: a lost one opens a hole, and a whole round closes it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from outbox.inbox.beacon_chain import BeaconChain
from outbox.rabbitmq.beacons import Beacon

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def beacon(number: int, since: int, until: int) -> Beacon:
    return Beacon("shop", "order", number, at(since), at(until), {"a": 1})


def chain(*beacons: Beacon) -> BeaconChain:
    first, *rest = beacons
    found = BeaconChain(first.number, first.until, first.ends_round, None)
    for one in rest:
        found = found.after(one)
    return found


def test_beacons_without_a_break_leave_no_hole() -> None:
    found = chain(beacon(7, 0, 1), beacon(8, 1, 2), beacon(9, 2, 3))
    assert (found.number, found.until, found.hole_since) == (9, at(3), None)


BEGUN = BeaconChain(0, at(4), True, None)


def test_the_first_beacon_of_a_source_opens_no_hole() -> None:
    assert BEGUN.after(beacon(1, 0, 1)) == chain(beacon(1, 0, 1))


def test_before_a_later_one_beacons_may_be_lost_since_the_consumer_began() -> None:
    heard = BEGUN.after(beacon(41, 5, 6))
    assert (heard.number, heard.until, heard.hole_since) == (41, at(6), at(4))
    assert heard.after(beacon(42, 4, 7)).hole_since is None


def test_a_lost_beacon_opens_a_hole_from_the_end_of_the_one_before() -> None:
    before = chain(beacon(1, 0, 1))
    assert before.misses(beacon(3, 2, 3))
    assert before.after(beacon(3, 2, 3)).hole_since == at(1)


def test_a_second_loss_keeps_the_earlier_hole() -> None:
    found = chain(beacon(1, 0, 1), beacon(3, 2, 3), beacon(5, 4, 5))
    assert found.hole_since == at(1)


def test_a_round_since_the_hole_closes_it_and_a_later_one_does_not() -> None:
    found = chain(beacon(1, 0, 1), beacon(3, 2, 3), beacon(4, 3, 4))
    assert found.hole_since == at(1)
    assert found.after(beacon(5, 1, 5)).hole_since is None


def test_a_lost_chunk_leaves_a_hole_and_the_last_chunk_of_its_round_does_not_close_it() -> None:
    found = chain(beacon(1, 0, 1), beacon(2, 1, 1), beacon(4, 1, 1), beacon(5, 1, 2))
    assert found.hole_since == at(1)


def test_only_a_round_that_came_whole_closes_a_hole() -> None:
    hole = chain(beacon(1, 0, 1), beacon(3, 2, 3))
    whole = hole.after(beacon(4, 1, 1)).after(beacon(5, 1, 1)).after(beacon(6, 1, 4))
    broken = hole.after(beacon(4, 1, 1)).after(beacon(6, 1, 4))
    assert (whole.hole_since, broken.hole_since) == (None, at(1))


def test_a_hole_that_is_told_in_several_rounds_closes_with_the_last() -> None:
    found = chain(beacon(1, 0, 1), beacon(3, 8, 9), beacon(4, 1, 5))
    assert found.hole_since == at(5)
    assert found.after(beacon(5, 5, 9)).hole_since is None
    assert found.after(beacon(6, 9, 10)).hole_since == at(5), "a round of these was lost"


def test_a_beacon_that_comes_again_changes_nothing() -> None:
    found = chain(beacon(1, 0, 1), beacon(2, 1, 2))
    assert found.after(beacon(2, 1, 2)) == found == found.after(beacon(1, 0, 1))


def test_a_producer_that_was_restored_is_asked_for_what_its_numbers_do_not_tell() -> None:
    found = chain(beacon(20, 0, 10), beacon(19, 9, 11))
    assert (found.number, found.hole_since) == (19, at(10))
    assert found.after(beacon(20, 10, 12)).hole_since is None

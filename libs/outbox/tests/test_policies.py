"""The decisions of relay and inbox, without database or broker."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import Envelope, RetryPolicy, Stream
from outbox.buckets import BUCKETS, bucket_of
from outbox.consume.decide import Position, Verdict
from outbox.relay.floor import Floor
from outbox.relay.holds import Holds, retry_delay
from outbox.relay.log import Entry, Snapshot
from outbox.relay.publisher import Outcome
from outbox.relay.session import judge
from outbox.write.notifier import MAX_PAYLOAD, _chunks

A, R, N, T = Outcome.ACKED, Outcome.RETURNED, Outcome.NACKED, Outcome.TIMED_OUT


@pytest.mark.parametrize(("id_", "bucket"), [("a", 42), ("b", 735), ("Ω", 563)])
def test_buckets_never_change(id_: str, bucket: int) -> None:
    assert bucket_of("order", id_) == bucket


@given(st.text(), st.text())
def test_a_bucket_is_one_of_all(kind: str, id_: str) -> None:
    assert 0 <= bucket_of(kind, id_) < BUCKETS


def entry(id_: int, aggregate: str) -> Entry:
    stream = Stream("shop", "order", aggregate)
    now = datetime.now(UTC)
    return Entry(id_, 0, Envelope(UUID(int=id_), stream, id_, "order.x", 1, now, b"{}", "c"))


@pytest.mark.parametrize("outcome", [R, N, T])
def test_what_follows_an_unsent_event_of_its_aggregate_counts_as_unsent(outcome: Outcome) -> None:
    entries = [entry(1, "a"), entry(2, "b"), entry(3, "a"), entry(4, "a"), entry(5, "b")]
    outcomes = dict(zip((e.envelope.id for e in entries), (A, A, outcome, A, A), strict=True))
    verdict = judge(entries, outcomes)
    assert verdict.sent == [1, 2, 5]
    assert list(verdict.failed) == [3]
    assert (verdict.lost, verdict.unroutable) == (outcome is T, outcome is R)


def test_the_floor_rises_only_after_a_look_at_what_is_settled() -> None:
    floor = Floor()
    floor.before_look(Snapshot(xmin=10, xmax=20))
    floor.after_window(5, exhausted=True)
    floor.before_look(Snapshot(xmin=10, xmax=21))
    floor.after_window(None, exhausted=True)
    assert floor.value == 0, "transactions below 21 may still bring ids below 5"
    floor.before_look(Snapshot(xmin=20, xmax=30))
    floor.after_window(None, exhausted=True)
    assert floor.value == 0
    floor.before_look(Snapshot(xmin=21, xmax=30))
    assert floor.value == 0, "the look itself starts below"
    floor.after_window(None, exhausted=True)
    assert floor.value == 5


def test_the_floor_stays_when_a_full_window_ended_below_the_candidate() -> None:
    floor = Floor()
    floor.after_window(100, exhausted=True)
    floor.before_look(Snapshot(1, 2))
    floor.before_look(Snapshot(2, 2))
    floor.after_window(50, exhausted=False)
    assert floor.value == 0
    floor.after_window(100, exhausted=False)
    assert floor.value == 100


def test_a_hold_is_released_when_its_time_has_come() -> None:
    holds = Holds()
    holds.hold("order/a", attempts=0, now=10.0)
    holds.hold("order/b", attempts=3, now=10.0)
    assert not holds.release_due(10.1)
    assert holds.next_due(10.1) == pytest.approx(0.1)
    assert holds.release_due(10.3)
    assert holds.keys == ["order/b"]


@given(st.integers(0, 10_000))
def test_a_retry_is_never_later_than_the_ceiling(attempts: int) -> None:
    assert 0 < retry_delay(attempts) <= 30


FIRST, OTHER = uuid4(), uuid4()


@pytest.mark.parametrize(
    ("sequence", "event_id", "verdict"),
    [
        (1, OTHER, Verdict.DUPLICATE),
        (2, FIRST, Verdict.DUPLICATE),
        (2, OTHER, Verdict.FORKED),
        (3, OTHER, Verdict.APPLY),
        (4, OTHER, Verdict.GAP),
    ],
)
def test_a_position_decides_by_sequence(sequence: int, event_id: UUID, verdict: Verdict) -> None:
    assert Position(2, FIRST, blocked=False, parked=0).decide(sequence, event_id) is verdict


@pytest.mark.parametrize("sequence", [3, 4])
def test_everything_new_waits_behind_a_blocked_event(sequence: int) -> None:
    position = Position(2, FIRST, blocked=True, parked=1)
    assert position.decide(sequence, OTHER) is Verdict.BEHIND


def test_retries_end() -> None:
    policy = RetryPolicy(attempts=3, base=1, ceiling=10)
    assert policy.delay(1)
    assert policy.delay(2)
    assert policy.delay(3) is None


@given(st.lists(st.text(alphabet="abc-", min_size=1, max_size=200), max_size=200))
def test_notifications_are_cut_to_what_postgresql_takes(keys: list[str]) -> None:
    assert all(len(chunk) <= MAX_PAYLOAD + 10 for chunk in _chunks(keys))

"""The decisions of relay and inbox, without database or broker."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.outbox.outbox_rows import entry
from outbox import RetryPolicy
from outbox.adaptive_interval import AdaptiveInterval
from outbox.inbox.position import Decision, Position
from outbox.log.buckets import BUCKETS, bucket_of
from outbox.postgres.notify import MAX_PAYLOAD, _chunks
from outbox.publisher.publisher import Outcome
from outbox.relay.backoff import Backoff, retry_delay
from outbox.relay.settlement import split_window
from outbox.relay.watermark import LowWatermark

A, R, N, T = Outcome.ACKED, Outcome.RETURNED, Outcome.NACKED, Outcome.TIMED_OUT


@pytest.mark.parametrize(("id_", "bucket"), [("a", 42), ("b", 735), ("Ω", 563)])
def test_buckets_never_change(id_: str, bucket: int) -> None:
    assert bucket_of("order", id_) == bucket


@given(st.text(), st.text())
def test_a_bucket_is_one_of_all(kind: str, id_: str) -> None:
    assert 0 <= bucket_of(kind, id_) < BUCKETS


@pytest.mark.parametrize("outcome", [R, N, T])
def test_what_follows_an_unsent_event_of_its_aggregate_counts_as_unsent(outcome: Outcome) -> None:
    entries = [entry(1, "a"), entry(2, "b"), entry(3, "a"), entry(4, "a"), entry(5, "b")]
    result = split_window(entries, [A, A, outcome, A, A])
    assert [entry.id for entry in result.sent] == [1, 2, 5]
    assert result.failed == [(entries[2], outcome)]
    assert result.of(outcome) == [entries[2]]


def test_what_follows_in_a_window_already_under_way_counts_as_unsent_too() -> None:
    entries = [entry(6, "a"), entry(7, "b")]
    result = split_window(entries, [A, A], {"order/a"})
    assert (result.sent, result.failed) == (entries[1:], [])


NO_WRITERS: frozenset[bytes] = frozenset()


def after_read(watermark: LowWatermark, last: int | None) -> int:
    watermark.rise(last)
    return watermark.value


def test_the_watermark_rises_only_when_all_that_may_have_drawn_below_it_are_over() -> None:
    watermark = LowWatermark()
    watermark.observe(5, frozenset([b"3/7", b"4/1"]))
    assert after_read(watermark, None) == 0
    watermark.observe(8, frozenset([b"4/1", b"5/5"]))
    assert after_read(watermark, None) == 0, "4/1 may bring ids below 5"
    watermark.observe(9, frozenset([b"5/5"]))
    assert after_read(watermark, None) == 5
    watermark.observe(9, NO_WRITERS)
    assert after_read(watermark, None) == 9


def test_the_watermark_rises_at_once_when_no_transaction_writes() -> None:
    watermark = LowWatermark()
    watermark.observe(7, NO_WRITERS)
    assert after_read(watermark, None) == 7


def test_the_watermark_rises_no_further_than_what_was_read() -> None:
    watermark = LowWatermark()
    watermark.observe(100, NO_WRITERS)
    assert after_read(watermark, 50) == 50
    assert after_read(watermark, 80) == 80
    assert after_read(watermark, None) == 100


def test_lowering_never_raises_the_watermark() -> None:
    watermark = LowWatermark(value=100)
    watermark.lower(None)
    watermark.lower(41)
    assert watermark.value == 40
    watermark.lower(90)
    assert watermark.value == 40


def test_an_aggregate_is_released_when_its_backoff_is_over() -> None:
    backoff = Backoff()
    backoff.back_off("order/a", 7, attempts=0, now=10.0)
    backoff.back_off("order/b", 5, attempts=3, now=10.0)
    assert backoff.release_due(10.1) is None
    assert backoff.next_due(10.1) == pytest.approx(0.1)
    assert backoff.release_due(10.3, not_yet={"order/a"}) is None
    assert backoff.release_due(10.3) == 7
    assert backoff.keys == ["order/b"]
    backoff.hurry(10.4)
    assert backoff.release_due(10.4) == 5


def test_a_parked_aggregate_waits_for_a_person() -> None:
    backoff = Backoff()
    backoff.back_off("order/a", 7, attempts=0, now=10.0)
    backoff.park({"order/a": 7})
    assert backoff.park_only({"order/a": 7, "order/b": 9}) is None
    backoff.hurry(20.0)
    assert backoff.release_due(1e9) is None
    assert backoff.next_due(20.0) is None
    assert backoff.park_only({"order/a": 7}) == 9
    assert backoff.keys == ["order/a"]


def test_what_takes_long_is_done_less_often() -> None:
    now = 0.0
    pace = AdaptiveInterval(5.0, lambda: now)
    assert pace.is_due()
    with pace.measured():
        now += 0.01
    assert pace.left() == pytest.approx(5.0)
    for left in (5.0, 50.0):  # once may have been a machine that stood still
        with pace.measured():
            now += 1.0
        assert pace.left() == pytest.approx(left)
    pace.hurry(2.0)
    assert pace.left() == pytest.approx(2.0)


@given(st.integers(0, 10_000))
def test_a_retry_is_never_later_than_the_ceiling(attempts: int) -> None:
    assert 0 < retry_delay(attempts) <= 30


FIRST, OTHER = uuid4(), uuid4()


@pytest.mark.parametrize(
    ("sequence", "event_id", "verdict"),
    [
        (1, OTHER, Decision.DUPLICATE),
        (2, FIRST, Decision.DUPLICATE),
        (2, OTHER, Decision.FORKED),
        (3, OTHER, Decision.APPLY),
        (4, OTHER, Decision.GAP),
    ],
)
def test_a_position_decides_by_sequence(sequence: int, event_id: UUID, verdict: Decision) -> None:
    assert Position(2, FIRST, blocked=False, parked=0).decide(sequence, event_id) is verdict


@pytest.mark.parametrize("sequence", [3, 4])
def test_everything_new_waits_behind_a_blocked_event(sequence: int) -> None:
    position = Position(2, FIRST, blocked=True, parked=1)
    assert position.decide(sequence, OTHER) is Decision.BEHIND


def test_retries_end() -> None:
    policy = RetryPolicy(attempts=3, base=1, ceiling=10)
    assert policy.delay(1)
    assert policy.delay(2)
    assert policy.delay(3) is None


@given(st.lists(st.text(alphabet="abc-", min_size=1, max_size=200), max_size=200))
def test_notifications_are_cut_to_what_postgresql_takes(keys: list[str]) -> None:
    assert all(len(chunk) <= MAX_PAYLOAD + 10 for chunk in _chunks(keys))


def test_a_policy_without_attempts_goes_on_without_end() -> None:
    policy = RetryPolicy(attempts=None, base=1, ceiling=8)
    assert policy.delay(10**9) is not None
    assert not policy.is_last(10**9)
    assert RetryPolicy(attempts=3).is_last(3)
    assert not RetryPolicy(attempts=3).is_last(2)

"""An aggregate whose event failed is left alone until its retry is due."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.relay.backoff import Backoff, retry_delay


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


@given(st.integers(0, 10_000))
def test_a_retry_is_never_later_than_the_ceiling(attempts: int) -> None:
    assert 0 < retry_delay(attempts) <= 30

"""How often and how late a failed event is tried again."""

from __future__ import annotations

from outbox import RetryPolicy


def test_retries_end() -> None:
    policy = RetryPolicy(attempts=3, base=1, ceiling=10)
    assert policy.delay(1)
    assert policy.delay(2)
    assert policy.delay(3) is None


def test_a_policy_without_attempts_goes_on_without_end() -> None:
    policy = RetryPolicy(attempts=None, base=1, ceiling=8)
    assert policy.delay(10**9) is not None
    assert not policy.is_last(10**9)
    assert RetryPolicy(attempts=3).is_last(3)
    assert not RetryPolicy(attempts=3).is_last(2)

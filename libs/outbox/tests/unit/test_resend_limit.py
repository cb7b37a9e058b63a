"""How many events may be asked for: many at once, and less for as long as it goes on."""

from __future__ import annotations

from kit.manual_clock import Clock
from outbox.resending import A_SECOND, AT_ONCE, Allowance


def test_what_was_granted_comes_back_with_time() -> None:
    clock = Clock()
    allowance = Allowance(clock)
    assert allowance.grant(AT_ONCE - 10) == AT_ONCE - 10
    assert allowance.grant(1_000) == 10
    assert allowance.grant(1) == 0
    clock.now += 0.25
    assert allowance.grant(1_000) == A_SECOND / 4


def test_no_more_than_the_limit_is_saved_up() -> None:
    clock = Clock()
    allowance = Allowance(clock)
    clock.now += 1e6
    assert allowance.grant(2 * AT_ONCE) == AT_ONCE
    assert allowance.grant(0) == 0

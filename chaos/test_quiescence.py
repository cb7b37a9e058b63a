"""A slow run goes on; one in which nothing moves ends."""

from __future__ import annotations

from chaos.quiescence import Progress
from kit.manual_clock import Clock


def test_a_run_may_take_long_while_something_moves() -> None:
    clock = Clock()
    progress = Progress(still=60, clock=clock)
    for n in range(10):
        clock.now += 59
        assert progress.is_made(applied=n, left=100)
    for n in range(10):
        clock.now += 59
        assert progress.is_made(applied=9, left=99 - n)


def test_an_event_that_goes_back_and_forth_is_no_progress() -> None:
    clock = Clock()
    progress = Progress(still=60, clock=clock)
    found = []
    for left in (1, 2, 1, 2):
        found.append(progress.is_made(applied=5, left=left))
        clock.now += 25
    assert found == [True, True, True, False]

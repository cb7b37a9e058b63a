"""A pause between two runs that grows with the time that the runs take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 50.0
CEILING = 60.0


class AdaptiveInterval:
    """Due at once, then after `interval` seconds, or after 50 times a run if that is longer.

    Uses the shorter of the last two runs, so that one stall does not slow it down.
    """

    def __init__(
        self, interval: float, clock: Callable[[], float], *, ceiling: float = CEILING
    ) -> None:
        self._interval = interval
        self._ceiling = ceiling
        self._clock = clock
        self._took = math.inf
        self._next = clock()

    def is_due(self) -> bool:
        """Whether it is due now."""
        return self._clock() >= self._next

    def hurry(self, seconds: float = 0.0) -> None:
        """Make it due in at most this many seconds."""
        self._next = min(self._next, self._clock() + seconds)

    def left(self) -> float:
        """Seconds until it is due, at least 0."""
        return max(0.0, self._next - self._clock())

    def postpone(self) -> None:
        """Start the interval now, without a run."""
        self._next = self._clock() + self._interval

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure a run, and start the interval after it."""
        began = self._clock()
        yield
        before, self._took = self._took, self._clock() - began
        cost = SHARE * min(before, self._took)
        self._next = self._clock() + max(self._interval, min(cost, self._ceiling))

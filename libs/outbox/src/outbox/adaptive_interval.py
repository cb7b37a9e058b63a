"""When something is due again: after its interval, and never so often that it eats the time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 50.0
CEILING = 60.0


class AdaptiveInterval:
    """Due at once, then each `interval` seconds, or after 50 times what it took if that is more.

    It took the lesser of the last two times: one may have been a machine that stood still.
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
        """Whether its time has come."""
        return self._clock() >= self._next

    def hurry(self, seconds: float = 0.0) -> None:
        """Make it due no later than so many seconds from now."""
        self._next = min(self._next, self._clock() + seconds)

    def left(self) -> float:
        """Seconds until it is due, at least 0."""
        return max(0.0, self._next - self._clock())

    def postpone(self) -> None:
        """It was done just now."""
        self._next = self._clock() + self._interval

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around the doing of it."""
        began = self._clock()
        yield
        before, self._took = self._took, self._clock() - began
        cost = SHARE * min(before, self._took)
        self._next = self._clock() + max(self._interval, min(cost, self._ceiling))

"""How long to wait: before a retry, by one rule for the whole library; between regular runs."""

from __future__ import annotations

import math
import random
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


# A power without a limit ends in an OverflowError, after enough failures in a row.
_DOUBLINGS = 30


def doubling(failures: int, *, base: float, ceiling: float) -> float:
    """Seconds: `base` after no failure, doubled with each one, never past `ceiling`."""
    return min(base * 2.0 ** min(failures, _DOUBLINGS), ceiling)


def with_jitter(seconds: float) -> float:
    """Half to all of it, so that many who failed together do not come back together."""
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311


class ReconnectDelay:
    """Seconds until the next attempt to connect: more with each failure in a row, with jitter."""

    def __init__(self, ceiling: float = 2.0) -> None:
        self._ceiling = ceiling
        self.failures = 0

    def reset(self) -> None:
        """A connection stands, so the next failure is the first again."""
        self.failures = 0

    def after_failure(self) -> float:
        """Count one more failure."""
        self.failures += 1
        return with_jitter(doubling(self.failures, base=0.1, ceiling=self._ceiling))

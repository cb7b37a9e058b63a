"""How long to wait before something is tried again. One rule, for every retry of the library."""

from __future__ import annotations

import random

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

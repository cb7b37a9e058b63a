"""How many deliveries a worker takes, learned from how long handlers wait.

Only waiting can be shared: while one handler waits for an answer, another can run. Computing cannot
be shared, because a process has one thread for all its workers. So what counts is not how long
handlers take, but how long the thread had nothing to do meanwhile. Where handlers compute, that is
next to nothing: batches are whole, and as few workers as possible take them. Where they wait,
batches are small, and all workers run side by side.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil

WORTH = 0.02
"""Seconds of waiting for which it is worth to start another worker beside those that run."""
BUDGET = 0.2
"""Seconds that the handlers of one batch may wait."""
COLD = 0.05
"""Seconds that a handler is believed to wait before any has run, so that batches grow from few."""


class Pace:
    """The pace of one consumer. `batch` is the most that a worker takes."""

    def __init__(self, batch: int) -> None:
        self._batch = batch
        self._wait = COLD

    def learn(self, waited: float, events: int) -> None:
        """So many events were handled while the thread had nothing to do for so many seconds."""
        if events:
            self._wait += (waited / events - self._wait) / 2

    @property
    def worth(self) -> int:
        """How many events are worth a worker of their own."""
        return self._fitting(WORTH)

    def size(self, ready: int, idle: int) -> int:
        """How many of the ready events a worker takes, if so many workers have nothing to do."""
        return max(self.worth, min(self._fitting(BUDGET), ceil(ready / idle)))

    def _fitting(self, seconds: float) -> int:
        return min(self._batch, max(1, int(seconds / max(self._wait, 1e-9))))


class Stopwatch:
    """Measures how long this thread had nothing to do."""

    def __init__(self) -> None:
        self.idle = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure during the block."""
        began, computed = time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            passed = time.perf_counter() - began
            self.idle += max(0.0, passed - (time.thread_time() - computed))

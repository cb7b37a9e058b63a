"""How many deliveries a worker takes, learned from how long handlers wait.

Only waiting can be shared: while one handler waits for an answer, another can run. Computing cannot
be shared, because a process has one thread for all its workers. So what counts is not how long
handlers take, but how long the thread had nothing to do meanwhile. Where handlers compute, that is
next to nothing: batches are whole, and as few workers as possible take them. Where they wait,
batches are small, and all workers run side by side.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from contextlib import contextmanager
from math import ceil
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

WORTH = 0.02
"""Seconds of waiting for which it is worth to start another worker beside those that run."""
BUDGET = 0.2
"""Seconds that the handlers of one batch may wait."""
COLD = 0.05
"""Seconds that a handler is believed to wait before any has run, so that batches grow from few."""


class BatchSize:
    """The batch size of one consumer. `batch` is the most that a worker takes."""

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

    def fitting(self, ready: int, idle: int) -> int:
        """How many of the ready events a worker takes, if so many workers have nothing to do."""
        return max(self.worth, min(self._fitting(BUDGET), ceil(ready / idle)))

    def _fitting(self, seconds: float) -> int:
        return min(self._batch, max(1, int(seconds / max(self._wait, 1e-9))))


class Computing:
    """How long the coroutines that it runs have computed, those of all workers together.

    It is wall time between their awaits. The thread's CPU time would do on an idle machine; on a
    busy one the time for which the thread is not scheduled would pass for waiting.
    """

    def __init__(self) -> None:
        self._before = 0.0
        self._since = 0.0

    @property
    def seconds(self) -> float:
        """The sum until now; to be asked from within one of the coroutines."""
        return self._before + time.perf_counter() - self._since

    async def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The coroutine's result."""
        return await _Measured(self, coroutine)

    def step(self, step: Callable[..., object], *arguments: object) -> object:
        """Go on to the next await, and add the time until there."""
        self._since = time.perf_counter()
        try:
            return step(*arguments)
        finally:
            self._before += time.perf_counter() - self._since


class _Measured(Generic[T]):
    """Drives a coroutine from await to await (PEP 492, "Awaitable Objects")."""

    def __init__(self, computing: Computing, coroutine: Coroutine[Any, Any, T]) -> None:
        self._computing = computing
        self.cr_await = coroutine
        """So that whoever follows a task's awaits comes to the coroutine's frames."""

    def __await__(self) -> Generator[object, Any, T]:
        return cast("Generator[object, Any, T]", self)

    def __next__(self) -> object:
        return self.send(None)

    def send(self, value: object) -> object:
        return self._computing.step(self.cr_await.send, value)

    def throw(self, *problem: Any) -> object:
        return self._computing.step(self.cr_await.throw, *problem)

    def close(self) -> None:
        self.cr_await.close()


class Stopwatch:
    """Measures how long handlers wait: the time in which no worker of the consumer computes."""

    def __init__(self, computing: Computing | None = None) -> None:
        self._computing = computing
        self.waited = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        """Measure during the block."""
        if self._computing is None:
            yield
            return
        began, computed = time.perf_counter(), self._computing.seconds
        try:
            yield
        finally:
            passed = time.perf_counter() - began
            self.waited += max(0.0, passed - (self._computing.seconds - computed))

"""Workers of one consumer, side by side: each has a batch, and a transaction for it, of its own.

Invariant: no batch is begun after a stop or a failure, and `run` returns only after every batch
that was begun has ended.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from outbox import metrics
from outbox.inbox.batch_size import BatchSize, Computing
from outbox.inbox.dispatcher import Dispatcher, Received
from outbox.postgres.controls import Valve

LINGER = 0.004
"""Seconds that a busy consumer waits for a larger batch; they cost less than a transaction."""
LINGER_BESIDE = 0.25
"""Seconds after which another worker takes what is hardly worth one: a batch may be slow."""
BUSY = 10
"""After this many deliveries at once, more are likely to follow."""
ASK_AGAIN = 0.05
"""Seconds until a throttled consumer looks again whether it may go on."""

Work = Callable[[Sequence[Received]], Coroutine[Any, Any, None]]
"""Handles a batch and releases it."""


class Workers:
    """Gives what has arrived to at most `concurrency` workers."""

    def __init__(
        self,
        consumer: str,
        dispatcher: Dispatcher,
        batch_size: BatchSize,
        valve: Valve,
        *,
        concurrency: int,
    ) -> None:
        """A throttled valve makes batches smaller, and lets them begin later."""
        self._dispatcher = dispatcher
        self._batch_size = batch_size
        self._valve = valve
        self._concurrency = concurrency
        self.computing = Computing()
        self._changed = asyncio.Event()
        self._running: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None
        self._is_busy = False
        self._lingers_since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy_workers = metrics.WORKERS_BUSY.labels(consumer)
        self._batch_events = metrics.BATCH_EVENTS.labels(consumer)

    def wake(self) -> None:
        """Something has arrived, was released, or has to end."""
        self._changed.set()

    async def run(self, work: Work, *, until: Callable[[], bool]) -> None:
        """Have all batches handled until it is time to end. Raises the first error of a worker."""
        try:
            while not until() and self._failed is None:
                self._changed.clear()
                while batch := self._next_batch():
                    self._begin(work, batch)
                await self._changed.wait()
            while self._running:
                await asyncio.wait(self._running)
        finally:
            await self._cancel()
        if self._failed is not None:
            raise self._failed

    def _begin(self, work: Work, batch: Sequence[Received]) -> None:
        self._batch_events.observe(len(batch))
        task = asyncio.ensure_future(self.computing.run(work(batch)))
        self._running.add(task)
        task.add_done_callback(self._ended)
        self._busy_workers.inc()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._busy_workers.dec()
        problem = asyncio.CancelledError() if task.cancelled() else task.exception()
        self._failed = self._failed or problem
        self.wake()

    async def _cancel(self) -> None:
        """End what still runs: this task was cancelled."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _next_batch(self) -> Sequence[Received]:
        idle = self._concurrency - len(self._running)
        ready = len(self._dispatcher)
        if not ready or not idle:
            return ()
        size = self._batch_size.fitting(ready, idle)
        if self._lingers(ready, size):
            return ()
        granted = self._valve.grant(min(size, ready))
        if not granted:
            self._wake_in(ASK_AGAIN)
            return ()
        self._lingers_since = None
        batch = self._dispatcher.assign(granted)
        self._valve.give_back(granted - len(batch))
        self._is_busy = len(batch) >= BUSY
        return batch

    def _lingers(self, ready: int, size: int) -> bool:
        """Whether to wait a moment, because so few are hardly worth a transaction."""
        if self._running:
            enough, moment = self._batch_size.worth, LINGER_BESIDE
        else:
            enough, moment = size, LINGER if self._is_busy else 0.0
        if ready >= enough or not moment:
            return False
        now = time.monotonic()
        self._lingers_since = self._lingers_since or now
        left = self._lingers_since + moment - now
        if left > 0:
            self._wake_in(left)
        return left > 0

    def _wake_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self.wake)

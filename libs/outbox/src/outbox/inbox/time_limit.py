"""The soft time limit: a handler that waits for too long is cancelled, and nothing else is.

Invariant: a handler that was cancelled has failed, whatever it does with its cancellation. One that
blocks the event loop, or does not end, is the watchdog's affair.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any

from outbox.errors import TimeLimitExceeded
from outbox.tracebacks import waits_at


@dataclass(slots=True, eq=False)
class _Call:
    task: asyncio.Task[Any]
    deadline: float
    cancelling: int
    waited_at: str | None = None
    """Set when the time is over."""

    def cancel(self) -> None:
        self.waited_at = waits_at(self.task)
        self.task.cancel()


@dataclass(slots=True, eq=False)
class TimeLimit:
    """Cancels what takes longer than `seconds`; 0 means no limit.

    All its calls share one timer, which costs each of them less than a timer of its own: they have
    the same limit, so the first that began is the first to be over.
    """

    seconds: float
    _calls: dict[_Call, None] = field(default_factory=dict)
    _timer: asyncio.TimerHandle | None = None

    async def keep(self, calling: Awaitable[None]) -> None:
        """Await it. Raises `TimeLimitExceeded` from what the cancelled call raised, if anything."""
        task = asyncio.current_task()
        if not self.seconds or task is None:
            return await calling
        call, problem = self._start(task), None
        try:
            await calling
        except (asyncio.CancelledError, Exception) as raised:
            if call.waited_at is None:
                raise
            problem = raised
        finally:
            del self._calls[call]
        if call.waited_at is None:
            return None
        if task.uncancel() > call.cancelling:
            raise asyncio.CancelledError from problem  # the whole task was asked to end, too
        raise TimeLimitExceeded(self.seconds, call.waited_at) from problem

    def _start(self, task: asyncio.Task[Any]) -> _Call:
        loop = asyncio.get_running_loop()
        call = _Call(task, loop.time() + self.seconds, task.cancelling())
        self._calls[call] = None
        if self._timer is None:
            self._timer = loop.call_at(call.deadline, self._cancel_overdue, loop)
        return call

    def _cancel_overdue(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for call in [one for one in self._calls if one.waited_at is None]:
            if call.deadline > loop.time():
                self._timer = loop.call_at(call.deadline, self._cancel_overdue, loop)
                return
            call.cancel()

"""Tasks that outlast a request: the sampler, and changes that take long.

A change that is cut off by the end of the process says so in the history of operations.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, TypeVar

from outbox.errors import OutboxError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Background:
    """The tasks of one console. An event loop keeps no task alive by itself."""

    def __init__(self) -> None:
        self._tasks = set[asyncio.Task[Any]]()

    def run(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Start a task."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def stop(self) -> None:
        """Cancel all tasks and wait for their ends."""
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        problem = None if task.cancelled() else task.exception()
        if problem is not None and not isinstance(problem, OutboxError):
            logger.error("a task of the console failed", exc_info=problem)

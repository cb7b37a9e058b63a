"""Where a process stands: the stacks of its threads and of its tasks, without values."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from traceback import StackSummary, walk_stack
from types import FrameType
from typing import Any

from outbox.tracebacks import frame_lines

TASKS = 100
"""So many tasks at most are told."""


def stacks(loop: asyncio.AbstractEventLoop | None) -> str:
    """Every thread but this one, then the tasks of a loop, which may run in another thread."""
    lines = list(_threads())
    if loop is not None:
        lines += _tasks(loop)
    return "\n".join(lines)


def _threads() -> Iterator[str]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != threading.get_ident():
            yield f"thread {names.get(ident, ident)}:"
            yield from frame_lines(StackSummary.extract(reversed([*walk_stack(frame)])))


def _tasks(loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    # The loop may go on meanwhile: asyncio copies its set of tasks, and what ends is told or not.
    for task in [*asyncio.all_tasks(loop)][:TASKS]:
        yield f"task {task.get_name()}:"
        yield from frame_lines(StackSummary.extract((f, f.f_lineno) for f in _awaiting(task)))


def _awaiting(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """The frames of a task's coroutine and of all that it awaits (docs.python.org, "inspect")."""
    awaitable: Any = task.get_coro()
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        if frame is not None:
            yield frame
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)

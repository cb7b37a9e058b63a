"""Errors, tracebacks and stacks as text without values, for logs and for the tables.

Invariant: the text has only types, first lines of messages and lines of code. It has no local
variables, no SQL parameters and no input of pydantic (decisions 0811 and 1134). Values that
PostgreSQL or psycopg quote are masked; any other first line is unchanged and may quote a value.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from traceback import FrameSummary, StackSummary, walk_stack, walk_tb
from types import FrameType
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError

from outbox.fingerprints import innermost_own
from outbox.losses import one_line

MAX_TRACEBACK = 4_000
"""Characters of a traceback at most; its end, where the error was raised, is kept."""
MAX_SAID = 1_000
OUTERMOST, INNERMOST = 4, 10
"""How many frames of an error are shown: the handler's, and those it called last."""
MEMBERS = 5
"""How many members of an exception group or fields of a body are shown."""
DEPTH = 8
"""How many causes of causes, or groups in groups, are shown."""
TASKS = 100
"""At most this many tasks are shown."""

_LIBRARY = f"{Path(__file__).parent}{os.sep}"
_QUOTED = re.compile(r"""(?<!\w)["'«„“](?:.*["'»“”]|.*)""", re.DOTALL)
"""From the first quotation mark to the last: a value may contain some; servers speak languages."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def said(problem: BaseException) -> str:
    """One line: the error's type and message. Errors of a body name the fields, never the input.

    An exception group has the lines of its members.
    """
    name, line = type(problem).__name__, _first_line(problem)
    pydantic = sys.modules.get("pydantic_core")
    if pydantic is not None and isinstance(problem, pydantic.ValidationError):
        line = f"{problem.error_count()} in {problem.title}: {_fields(problem)}"
    elif isinstance(problem, BaseExceptionGroup):
        line = f"{line}: {'; '.join(said(one) for one in problem.exceptions[:MEMBERS])}"
    # The sender of a body chooses the names of its fields.
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", f"{name}: {line}")[:MAX_SAID]


def traceback_of(problem: BaseException) -> str:
    """The frames of an error, with its causes before it and its members after it, bounded.

    Frames of this library that lead to a handler are left out.
    """
    text = "\n".join(_lines(problem, set()))
    if len(text) <= MAX_TRACEBACK:
        return text
    kept = text[-(MAX_TRACEBACK - 2) :]
    return f"…\n{kept[kept.find(chr(10)) + 1 :]}"


def storable(text: str) -> str:
    """The text without NUL and lone surrogates, which PostgreSQL refuses."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _lines(problem: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(problem))
    cause = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
    if cause is not None and id(cause) not in seen and len(seen) < DEPTH:
        yield from _lines(cause, seen)
        yield "then:"
    yield from frame_lines(_frames(problem))
    yield said(problem)
    if isinstance(problem, BaseExceptionGroup):
        members = (one for one in problem.exceptions if id(one) not in seen and len(seen) < DEPTH)
        for one in islice(members, MEMBERS):
            yield "member:"
            yield from (f"  {line}" for line in _lines(one, seen))


def frame_lines(frames: Sequence[FrameSummary]) -> Iterator[str]:
    """Frames from the outermost to the innermost, the middle left out where they are many."""
    left_out = len(frames) - OUTERMOST - INNERMOST
    for number, frame in enumerate(frames):
        if number < OUTERMOST or number >= OUTERMOST + left_out:
            source = f"\n    {frame.line}" if frame.line else ""
            yield f"  {frame.filename}:{frame.lineno} in {frame.name}{source}"
        elif number == OUTERMOST:
            yield f"  … {left_out} frames"


def _frames(problem: BaseException) -> Sequence[FrameSummary]:
    frames = StackSummary.extract(walk_tb(problem.__traceback__))
    led = sum(1 for _ in takewhile(lambda frame: frame.filename.startswith(_LIBRARY), frames))
    # Where the library raised it from a cause, the frames of the cause are the ones to see.
    return frames[led:] or ([] if problem.__cause__ else frames)


def _first_line(problem: BaseException) -> str:
    """The message; about bad data or bad SQL without quotations (PostgreSQL, class 22, 42601).

    Other messages of PostgreSQL quote names of tables and columns. Its DETAIL is left out.
    """
    original = problem.orig if isinstance(problem, DBAPIError) else problem
    if not isinstance(original, psycopg.DataError | psycopg.errors.SyntaxError):
        return one_line(problem)
    told = _QUOTED.sub('"…"', original.diag.message_primary or str(original))
    kind = f"({type(original).__module__}.{type(original).__name__}) "
    return f"{kind if original is not problem else ''}{told.strip().partition(chr(10))[0]}"


def _fields(problem: object) -> str:
    errors = problem.errors(include_url=False, include_context=False, include_input=False)  # type: ignore[attr-defined]
    told = [f"{'.'.join(map(str, error['loc'])) or 'body'}: {error['msg']}" for error in errors]
    more = [f"and {len(told) - MEMBERS} more"] if len(told) > MEMBERS else []
    return "; ".join((*told[:MEMBERS], *more))


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
    # The loop may run meanwhile: asyncio copies its set of tasks, some of which may end.
    for task in [*asyncio.all_tasks(loop)][:TASKS]:
        yield f"task {task.get_name()}:"
        yield from frame_lines(StackSummary.extract((f, f.f_lineno) for f in _awaiting(task)))


def waits_at(task: asyncio.Task[Any]) -> str:
    """Where a task waits: the innermost line of the user's code."""
    frame = innermost_own(_awaiting(task))
    if frame is None:
        return "a line of this library"
    return f"{frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}"


def _awaiting(task: asyncio.Task[Any]) -> Iterator[FrameType]:
    """The frames of a task's coroutine and of all that it awaits (docs.python.org, "inspect")."""
    awaitable: Any = task.get_coro()
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None) or getattr(awaitable, "gi_frame", None)
        if frame is not None:
            yield frame
        awaitable = getattr(awaitable, "cr_await", None) or getattr(awaitable, "gi_yieldfrom", None)

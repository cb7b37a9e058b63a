"""What failed and where, without values: for logs and for the tables.

Invariant: a text has only types, first lines of messages and lines of code. It has no local
variable, no SQL parameter and no input of pydantic (decisions 0811 and 1134). Values that
PostgreSQL or psycopg quotes are masked; any other first line stays as it is, and may quote a value.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from itertools import islice, takewhile
from pathlib import Path
from traceback import FrameSummary, StackSummary, walk_tb

import psycopg
from sqlalchemy.exc import DBAPIError

from outbox.supervise import one_line

MAX_TRACEBACK = 4_000
"""Characters of a traceback at most; the end of it, where it was raised, is kept."""
MAX_SAID = 1_000
OUTERMOST, INNERMOST = 4, 10
"""So many frames of an error are told: of the handler, and of what it called last."""
MEMBERS = 5
"""So many members of an exception group or fields of a body are told."""
DEPTH = 8
"""So many causes of causes, or groups in groups, are told."""

_LIBRARY = f"{Path(__file__).parent}{os.sep}"
_QUOTED = re.compile(r"""(?<!\w)["'«„“](?:.*["'»“”]|.*)""", re.DOTALL)
"""From the first quotation mark to the last: a value may contain some; servers speak languages."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def said(problem: BaseException) -> str:
    """One line: the error's type and what it says; of a body's errors the fields, never the input.

    An exception group says what its members say.
    """
    name, line = type(problem).__name__, _first_line(problem)
    pydantic = sys.modules.get("pydantic_core")
    if pydantic is not None and isinstance(problem, pydantic.ValidationError):
        line = f"{problem.error_count()} in {problem.title}: {_fields(problem)}"
    elif isinstance(problem, BaseExceptionGroup):
        line = f"{line}: {'; '.join(said(one) for one in problem.exceptions[:MEMBERS])}"
    # A field can be named by whoever wrote the body.
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", f"{name}: {line}")[:MAX_SAID]


def traceback_of(problem: BaseException) -> str:
    """The frames of an error, of its causes before it and of its members behind it, bounded.

    Frames of this library that lead to a handler are left out.
    """
    text = "\n".join(_told(problem, set()))
    if len(text) <= MAX_TRACEBACK:
        return text
    kept = text[-(MAX_TRACEBACK - 2) :]
    return f"…\n{kept[kept.find(chr(10)) + 1 :]}"


def storable(text: str) -> str:
    """An error may quote anything; PostgreSQL takes neither NUL nor lone surrogates."""
    return text.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _told(problem: BaseException, seen: set[int]) -> Iterator[str]:
    seen.add(id(problem))
    cause = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
    if cause is not None and id(cause) not in seen and len(seen) < DEPTH:
        yield from _told(cause, seen)
        yield "then:"
    yield from frame_lines(_frames(problem))
    yield said(problem)
    if isinstance(problem, BaseExceptionGroup):
        members = (one for one in problem.exceptions if id(one) not in seen and len(seen) < DEPTH)
        for one in islice(members, MEMBERS):
            yield "member:"
            yield from (f"  {line}" for line in _told(one, seen))


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
    return frames[led:] or frames


def _first_line(problem: BaseException) -> str:
    """Of a message about bad data or bad SQL without what it quotes (PostgreSQL, class 22, 42601).

    Other messages of PostgreSQL quote names of tables and columns; its DETAIL is never told.
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

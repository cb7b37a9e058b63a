"""What failures have in common: the error's class, and where the user's code raised it.

Invariant: neither a value nor a line number is part of it. A release that moves lines does not
change a fingerprint. See decision 1621.
"""

from __future__ import annotations

import hashlib
import os
import re
import sysconfig
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from traceback import walk_tb
from types import FrameType

from sqlalchemy.exc import DBAPIError

MAX_NAME = 200
"""Characters of a class's or a function's name at most."""

_LIBRARY = f"{Path(__file__).parent}{os.sep}"
_PYTHON = f"{sysconfig.get_path('stdlib')}{os.sep}"
_INSTALLED = re.compile(r"[/\\](site|dist)-packages[/\\]")


@dataclass(frozen=True, slots=True)
class Cause:
    """An error's class, or why an event stops without one, and the function that is to blame."""

    error: str
    where: str | None = None

    def __str__(self) -> str:
        """As a person reads it."""
        return self.error if self.where is None else f"{self.error} in {self.where}"

    def fingerprint(self, event_type: str) -> str:
        """Eight characters that stand for an event type and this cause."""
        return hashlib.sha256(f"{event_type} {self}".encode("utf-8", "replace")).hexdigest()[:8]


def cause_of(problem: BaseException) -> Cause:
    """The cause of an exception; of an exception group the cause of its first member."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    kind = type(problem.orig if isinstance(problem, DBAPIError) and problem.orig else problem)
    prefix = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    where = _where(problem)
    if where is None and problem.__cause__ is not None:
        where = _where(problem.__cause__)  # the library raised it, as after a time limit
    return Cause(f"{prefix}{kind.__qualname__}"[:MAX_NAME], where)


def innermost_own(frames: Iterable[FrameType]) -> FrameType | None:
    """The innermost frame of the user's code, of frames from the outermost to the innermost."""
    theirs = [frame for frame in frames if not _is_of_library(frame)]
    own = [frame for frame in theirs if _is_own(frame)] or _of_first_package(theirs)
    return own[-1] if own else None


def _where(problem: BaseException) -> str | None:
    """The innermost function of the user's code, as `module.function`.

    If this library raised the error from another one, it is where that one was raised.
    """
    frame = innermost_own(frame for frame, _ in walk_tb(problem.__traceback__))
    if frame is None:
        return _where(problem.__cause__) if problem.__cause__ else None
    return f"{_module(frame)}.{frame.f_code.co_qualname}"[:MAX_NAME]


def _is_of_library(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_LIBRARY)


def _is_own(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return not (name.startswith(("<", _PYTHON)) or _INSTALLED.search(name))


def _of_first_package(frames: Sequence[FrameType]) -> list[FrameType]:
    """An application that is installed as a wheel: the frames of the package that was called."""
    packages = [_module(frame).partition(".")[0] for frame in frames]
    pairs = zip(frames, packages, strict=True)
    return [frame for frame, package in pairs if package == packages[0]]


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "?"))

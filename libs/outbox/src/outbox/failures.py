"""When a failed event is tried again, and what is no failure of the event at all."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from json import JSONDecodeError
from typing import TypeVar

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from outbox.argument_checks import counts, ordered, seconds
from outbox.delays import doubling, with_jitter
from outbox.errors import Unreadable
from outbox.event import Envelope
from outbox.sqlstates import CONNECTION_LOST, CONTENTION, TOO_MANY_CONNECTIONS, sqlstate_of

CONTENTION_TRIES = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter; times in seconds. `attempts` may be None: without end."""

    attempts: int | None = 10
    base: float = 1.0
    ceiling: float = 300.0

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        if self.attempts is not None:
            counts(self, "attempts")
        seconds(self, "base", "ceiling")
        ordered(self, "base", "ceiling")

    def delay(self, failed: int) -> float | None:
        """Seconds to wait after so many failures, or None when it was the last attempt."""
        if self.is_last(failed):
            return None
        return with_jitter(doubling(failed - 1, base=self.base, ceiling=self.ceiling))

    def is_last(self, attempt: int) -> bool:
        """Whether none follows this attempt, counted from 1."""
        return self.attempts is not None and attempt >= self.attempts


class HandlerFailed(Exception):
    """A handler raised the cause. `event` is whose handler it was, None if it had several."""

    def __init__(self, event: Envelope | None) -> None:
        super().__init__(f"the handler of {event or 'several events'}")
        self.event = event


def reason_of(problem: BaseException) -> BaseException:
    """What a handler raised, else the problem itself."""
    cause = problem.__cause__ if isinstance(problem, HandlerFailed) else None
    return cause or problem


def is_loss(problem: BaseException) -> bool:
    """Whether the database went away, as against an event that cannot be handled.

    Never of `HandlerFailed`: what a handler asks besides the database of the inbox is its own.
    """
    if isinstance(problem, PoolTimeout):
        return True
    if isinstance(problem, DBAPIError):
        return problem.connection_invalidated or (
            problem.orig is not None and is_loss(problem.orig)
        )
    if isinstance(problem, (psycopg.OperationalError, psycopg.InterfaceError)):
        lost = (*CONNECTION_LOST, TOO_MANY_CONNECTIONS)
        return problem.sqlstate is None or problem.sqlstate.startswith(lost)
    return False


def is_contention(problem: BaseException) -> bool:
    """Whether a transaction was in the way of another: the same again may well succeed."""
    return sqlstate_of(reason_of(problem)) in CONTENTION


def is_unreadable(problem: BaseException) -> bool:
    """Whether a body could not be read; no retry can help. The default of the consumer's hook."""
    if isinstance(problem, (Unreadable, JSONDecodeError, UnicodeDecodeError)):
        return True
    # Not imported: this library does not need pydantic, its users' event classes may.
    pydantic = sys.modules.get("pydantic_core")
    return pydantic is not None and isinstance(problem, pydantic.ValidationError)


async def contending(transaction: Callable[[], Awaitable[T]]) -> T:
    """Run a transaction, and some times more if others were in its way."""
    for left in reversed(range(CONTENTION_TRIES)):
        try:
            return await transaction()
        except Exception as problem:
            if not left or not is_contention(problem):
                raise
        await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311
    raise AssertionError("unreachable")

"""Whose failure an error is, and when a failed job is tried again.

Invariant: an error of the database or of another transaction is never counted against an event.
"""

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
from outbox.losses import CONNECTION_LOST, CONTENTION, TOO_MANY_CONNECTIONS, sqlstate_of

CONTENTION_TRIES = 3

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a job is tried: exponential backoff with jitter; times in seconds.

    `attempts` may be None: without end.
    """

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
        """Seconds to wait after this many failures, or None after the last attempt."""
        if self.is_last(failed):
            return None
        return with_jitter(doubling(failed - 1, base=self.base, ceiling=self.ceiling))

    def is_last(self, attempt: int) -> bool:
        """Whether this attempt, counted from 1, is the last one."""
        return self.attempts is not None and attempt >= self.attempts


class HandlerFailed(Exception):
    """A handler raised the cause. `event` is the handler's event, None if it had several."""

    def __init__(self, event: Envelope | None) -> None:
        super().__init__(f"the handler of {event or 'several events'}")
        self.event = event


def reason_of(problem: BaseException) -> BaseException:
    """The exception that a handler raised, or the problem itself if no handler did."""
    cause = problem.__cause__ if isinstance(problem, HandlerFailed) else None
    return cause or problem


def is_loss(problem: BaseException) -> bool:
    """Whether the database went away, as against an event that cannot be handled.

    False for `HandlerFailed`: other servers that a handler asks are the handler's affair.
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
    """Whether another transaction was in the way: the same transaction may succeed next time."""
    return sqlstate_of(reason_of(problem)) in CONTENTION


def unreadable_errors() -> tuple[type[BaseException], ...]:
    """The classes of errors that say that a body cannot be read, so that no retry can help."""
    # Not imported: this library does not need pydantic, its users' event classes may.
    pydantic = sys.modules.get("pydantic_core")
    more = () if pydantic is None else (pydantic.ValidationError,)
    return (Unreadable, JSONDecodeError, UnicodeDecodeError, *more)


async def contending(transaction: Callable[[], Awaitable[T]]) -> T:
    """Run a transaction, and repeat it if another one was in its way."""
    for left in reversed(range(CONTENTION_TRIES)):
        try:
            return await transaction()
        except Exception as problem:
            if not left or not is_contention(problem):
                raise
        await asyncio.sleep(random.uniform(0.005, 0.05))  # noqa: S311
    raise AssertionError("unreachable")

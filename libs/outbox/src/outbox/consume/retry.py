"""When a failed event is tried again, and what is no failure of the event at all."""

from __future__ import annotations

import random
from dataclasses import dataclass

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

# PostgreSQL, "Error Codes": connection exception, too many connections, shutdown and start-up.
_LOSS_STATES = ("08", "53300", "57P01", "57P02", "57P03")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter; times in seconds."""

    attempts: int = 10
    base: float = 1.0
    ceiling: float = 300.0

    def delay(self, failed: int) -> float | None:
        """Seconds to wait after so many failures, or None when it was the last attempt."""
        if failed >= self.attempts:
            return None
        full = min(self.base * 2.0 ** min(failed - 1, 30), self.ceiling)
        return full * random.uniform(0.5, 1.0)  # noqa: S311


def is_loss(problem: BaseException) -> bool:
    """Whether the database went away, as against an event that cannot be handled."""
    if isinstance(problem, PoolTimeout):
        return True
    if isinstance(problem, DBAPIError):
        return problem.connection_invalidated or (
            problem.orig is not None and is_loss(problem.orig)
        )
    if isinstance(problem, (psycopg.OperationalError, psycopg.InterfaceError)):
        return problem.sqlstate is None or problem.sqlstate.startswith(_LOSS_STATES)
    return False

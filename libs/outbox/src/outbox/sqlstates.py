"""What PostgreSQL's error codes mean here; two characters are a class (its "Error Codes")."""

from __future__ import annotations

import psycopg
from sqlalchemy.exc import DBAPIError

CONTENTION = ("40P01", "40001", "55P03")
"""Deadlock detected, serialization failure, lock not available."""
CONNECTION_LOST = ("08", "57P01", "57P02", "57P03")
"""Connection exceptions; the server is shut down, has crashed, or is starting."""
TOO_MANY_CONNECTIONS = "53300"
LAST_WORDS = ("08", "57P")
"""What a server says last on a connection. Whether a COMMIT took effect before is not known."""
READ_ONLY = "25006"
BUG_CLASSES = ("22", "42")
"""Data exceptions, syntax errors and missing things."""


def driver_error(problem: BaseException | None) -> BaseException | None:
    """The driver's error inside SQLAlchemy's, else the problem itself."""
    return problem.orig if isinstance(problem, DBAPIError) else problem


def sqlstate_of(problem: BaseException | None) -> str | None:
    """The code of a PostgreSQL error; None for one that the server did not report."""
    original = driver_error(problem)
    return original.sqlstate if isinstance(original, psycopg.Error) else None

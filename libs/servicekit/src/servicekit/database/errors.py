"""What a request is told when the database fails it: above all, whether it took effect.

Invariant: "nothing was changed" is said only where that is known. A connection that is lost while
its answer is awaited may have committed before.
"""

import psycopg
import sqlalchemy.exc

from servicekit.http.problems import Problem

__all__ = ["database_unavailable", "is_unavailable"]

AWAY = "The database cannot be reached right now; nothing was changed. Try again."
BUSY = "Something else holds on to what this request needs; nothing was changed. Try again."
READ_ONLY = "The database takes no changes right now; nothing was changed. Try again."
REFUSED = "The database could not do this right now; nothing was changed. Try again."
UNKNOWN = (
    "The connection to the database was lost; whether this took effect is not known."
    " Look, or send it again with the same Idempotency-Key."
)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# PostgreSQL, "Error Codes": lock not available, deadlock detected, serialization failure.
_CONTENTION = ("55P03", "40P01", "40001")
_READ_ONLY_TRANSACTION = "25006"
# Connection exceptions, and the server's going down: the last words on a connection.
_LAST_WORDS = ("08", "57P")


def is_unavailable(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Whether an error that is not an OperationalError means that the database is away."""
    return error.connection_invalidated or _sqlstate(error) == _READ_ONLY_TRANSACTION


def database_unavailable(error: Exception, method: str) -> Problem:
    """The 503 for a request of this method that the database failed with `error`."""
    detail = _detail(error, safe=method in SAFE_METHODS)
    return Problem(503, "database_unavailable", detail, headers={"Retry-After": "1"})


def _detail(error: Exception, *, safe: bool) -> str:
    sqlstate = _sqlstate(error)
    if sqlstate in _CONTENTION:
        return BUSY
    if sqlstate == _READ_ONLY_TRANSACTION:
        return READ_ONLY
    if safe or _never_connected(error):
        return AWAY
    # An error that the server reports has rolled back whatever was begun.
    return UNKNOWN if sqlstate is None or sqlstate.startswith(_LAST_WORDS) else REFUSED


def _never_connected(error: Exception) -> bool:
    if isinstance(error, sqlalchemy.exc.TimeoutError):  # no connection of the pool was free
        return True
    cause = _cause(error)
    return isinstance(cause, psycopg.errors.ConnectionTimeout) or (
        isinstance(cause, psycopg.Error) and cause.pgconn is not None
    )


def _sqlstate(error: Exception) -> str | None:
    cause = _cause(error)
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None


def _cause(error: Exception) -> BaseException | None:
    return error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error

"""What a request is told when the database fails: above all, whether the request took effect.

Invariant: an answer says "nothing was changed" only where that is known. A connection that is lost
while a COMMIT is awaited may have committed.
"""

import psycopg
import sqlalchemy.exc

from outbox.losses import CONTENTION, LAST_WORDS, driver_error, sqlstate_of
from outbox.losses import READ_ONLY as READ_ONLY_TRANSACTION
from servicekit.http.problems import Problem

__all__ = ["database_unavailable", "is_unavailable"]

AWAY = "The database cannot be reached right now; nothing was changed. Try again."
BUSY = "Another request holds what this one needs; nothing was changed. Try again."
READ_ONLY = "The database takes no changes right now; nothing was changed. Try again."
REFUSED = "The database could not do this right now; nothing was changed. Try again."
UNKNOWN = (
    "The connection to the database was lost; whether this took effect is not known."
    " Check, or send it again with the same Idempotency-Key."
)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def is_unavailable(error: sqlalchemy.exc.DBAPIError) -> bool:
    """Whether an error other than OperationalError means that the database is away."""
    return error.connection_invalidated or sqlstate_of(error) == READ_ONLY_TRANSACTION


def database_unavailable(error: Exception, method: str) -> Problem:
    """The 503 for a request of this method, after the database answered with `error`."""
    detail = _detail(error, safe=method in SAFE_METHODS)
    return Problem(503, "database_unavailable", detail, headers={"Retry-After": "1"})


def _detail(error: Exception, *, safe: bool) -> str:
    sqlstate = sqlstate_of(error)
    if sqlstate in CONTENTION:
        return BUSY
    if sqlstate == READ_ONLY_TRANSACTION:
        return READ_ONLY
    if safe or _never_connected(error):
        return AWAY
    # An error that the server reports has rolled back the transaction. See decision 0812.
    return UNKNOWN if sqlstate is None or sqlstate.startswith(LAST_WORDS) else REFUSED


def _never_connected(error: Exception) -> bool:
    if isinstance(error, sqlalchemy.exc.TimeoutError):  # no connection of the pool was free
        return True
    cause = driver_error(error)
    return isinstance(cause, psycopg.errors.ConnectionTimeout) or (
        isinstance(cause, psycopg.Error) and cause.pgconn is not None
    )

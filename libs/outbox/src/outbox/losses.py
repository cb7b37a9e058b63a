"""Which errors are a lost server, which are a refusal, and which are bugs.

A lost server comes back, so its users try again. A refusal needs a person. A bug is neither, and is
never taken for a loss, because it would do its harm again at every try (decision 1112).
"""

from __future__ import annotations

import asyncio
import ssl
from enum import StrEnum
from types import TracebackType

import psycopg
from aio_pika.exceptions import AMQPError
from aiormq.exceptions import ChannelInvalidStateError
from pamqp.exceptions import PAMQPException
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from outbox.addresses import masked
from outbox.errors import BrokerRefused, DatabaseRefused, OutboxError

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


BROKER_LOST: tuple[type[BaseException], ...] = (
    AMQPError,
    PAMQPException,
    ChannelInvalidStateError,
    OSError,
    TimeoutError,
)
"""The errors of a lost broker, besides a bare RuntimeError: see `broker_lost`."""

_MIGRATE = "has this database been migrated, and is it the right one?"
_NOT_MIGRATED = {
    "42P01": _MIGRATE,
    "42703": _MIGRATE,
    "42883": _MIGRATE,
    "3F000": _MIGRATE,
    "42501": "grant it, or connect as another user",
}
_CLIENTS = ("aiormq", "aio_pika")
_LOOPS = ("asyncio", "uvloop")
# Texts of PostgreSQL and libpq, which give no error code before the connection is open.
_LOGIN_REFUSED = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "permission denied for database",
    "no such database",  # a pooler's
    "no such user",
    "is not permitted to log in",
    "is not currently accepting connections",
    "certificate verify failed",
    "server does not support SSL",
)
_FILES = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError)


class Server(StrEnum):
    """What can be lost."""

    DATABASE = "the database"
    BROKER = "the broker"


def lost(problem: BaseException) -> Server | None:
    """Which server went away, if that is what this means.

    aiormq cancels the tasks that wait on a dead connection: a cancellation that was not asked for
    is a lost broker.
    """
    if isinstance(problem, asyncio.CancelledError):
        task = asyncio.current_task()
        return Server.BROKER if task is not None and not task.cancelling() else None
    if isinstance(problem, DatabaseRefused) or database_lost(problem):
        return Server.DATABASE
    return Server.BROKER if broker_lost(problem) else None


def broker_lost(problem: BaseException) -> bool:
    """Whether the broker, or the connection to it, went away.

    aiormq and aio_pika raise a bare RuntimeError on a closed connection; any other one is a bug.
    """
    if isinstance(problem, BrokerRefused):
        return True
    if type(problem) is RuntimeError:  # see decision 1112
        return _raised_by_a_client(problem.__traceback__)
    return isinstance(problem, BROKER_LOST)


def database_lost(problem: BaseException) -> bool:
    """Whether the database went away, is too busy, or takes no writes for now."""
    if isinstance(problem, PoolTimeout):
        return True
    if isinstance(problem, DBAPIError):
        original = problem.orig
        return problem.connection_invalidated or (original is not None and database_lost(original))
    if not isinstance(problem, psycopg.Error):
        return False
    if problem.sqlstate is None:
        return isinstance(problem, psycopg.OperationalError | psycopg.InterfaceError)
    return not problem.sqlstate.startswith(BUG_CLASSES)


def refusal(problem: BaseException, *, first: bool) -> OutboxError | None:
    """The error for a person, if this is a refusal.

    A refusal at the `first` connection is a wrong setting. After an accepted connection the same
    refusal may pass: a password is being changed, a database restored, a standby promoted. Missing
    tables are a refusal at any time.
    """
    original = driver_error(problem)
    if isinstance(original, psycopg.Error) and original.sqlstate in _NOT_MIGRATED:
        return DatabaseRefused(f"{one_line(original)}; {_NOT_MIGRATED[original.sqlstate]}")
    return _login_refused(original) if first else None


def _login_refused(problem: BaseException | None) -> OutboxError | None:
    if isinstance(problem, BrokerRefused | DatabaseRefused):
        return problem
    if isinstance(problem, psycopg.Error) and problem.sqlstate is None:
        lines = str(problem).splitlines()
        found = [line for line in lines if any(words in line for words in _LOGIN_REFUSED)]
        return DatabaseRefused(masked(found[0].rpartition("FATAL:")[2].strip())) if found else None
    if isinstance(problem, (ssl.SSLCertVerificationError, *_FILES)):
        return BrokerRefused(one_line(problem))
    return None


def one_line(problem: BaseException) -> str:
    """An error's first line, or its type if it has none; without passwords."""
    return masked(str(problem).strip().partition("\n")[0]) or type(problem).__name__


def _raised_by_a_client(traceback: TracebackType | None) -> bool:
    """Whether the last frame outside the event loop belongs to aiormq or aio_pika."""
    by = ""
    while traceback is not None:
        package = str(traceback.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package not in _LOOPS:
            by = package
        traceback = traceback.tb_next
    return by in _CLIENTS

"""SQLAlchemy's async engine on psycopg 3, made to survive a database that goes away and comes back.

A pooled connection whose server has died is noticed when it is checked out. The socket is asked (a
system call of a microsecond), not the server (`pool_pre_ping`, a round trip for every request): an
idle connection has nothing to read, so a readable one is closed or out of step. While the database
is away a request gets 503; the first one after its return succeeds.

Every wait for a lock ends, and so does every transaction that was left open. One of them without
end would block each request that comes to its row, until no connection is left.

Errors are logged, so they carry no values: parameters and DETAIL are left out.
"""

import select
from typing import Any

import psycopg
import sqlalchemy.exc
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from outbox.postgres import sessions
from outbox.postgres.sessions import KEEPALIVES, SERVER_KEEPALIVES
from servicekit.process.startup_errors import StartupProblem
from servicekit.process.urls import PostgresUrl

__all__ = ["POOL_SIZE", "connect", "create_engine", "ensure_reachable", "unreachable"]

POOL_TIMEOUT = 5.0

# The server ends what a stopped client or a vanished host holds. A use case that needs a longer
# wait sets it for its transaction. A transaction stays open and idle while a handler works, which
# the consumer's watchdog ends after 60 seconds.
SESSION = {
    "lock_timeout": "4s",  # see decision 0810
    "idle_in_transaction_session_timeout": "90s",
    **SERVER_KEEPALIVES,
}
POOL_SIZE = 10
"""The connections that a process keeps open at most, beside those of its consumers' workers."""
_SERVER_SAYS = (
    "does not exist",
    "permission denied",
    "not permitted",
    "unsupported startup parameter",  # a pooler's; see decision 0810
)
_READ_ONLY_REPORTS = (b"default_transaction_read_only", b"in_hot_standby")


def create_engine(
    url: PostgresUrl,
    *,
    application_name: str,
    pool_size: int = POOL_SIZE,
    max_overflow: int = 0,
    prepare_threshold: int | None = 3,
) -> AsyncEngine:
    """Return an engine that connects when first used; `pool_size` connections stay open.

    A statement is prepared once it ran `prepare_threshold` times on a connection; None switches
    that off (for a transaction-pooling proxy). A caller that gets no connection within five
    seconds gets SQLAlchemy's TimeoutError.
    """
    engine = create_async_engine(
        url.sqlalchemy,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=POOL_TIMEOUT,
        pool_use_lifo=True,
        hide_parameters=True,  # see decision 0811
        connect_args={
            "application_name": application_name,
            "prepare_threshold": prepare_threshold,
            "options": session_options(url),
            **KEEPALIVES,
        },
    )
    event.listen(engine.sync_engine, "checkout", _refuse_dead_socket)
    event.listen(engine.sync_engine, "checkin", _forget_read_only)
    event.listen(engine.sync_engine, "handle_error", _forget_values)
    return engine


def _forget_read_only(_connection: Any, record: ConnectionPoolEntry) -> None:
    """Discard a connection made while the server took no writes: it would never take any.

    This costs no round trip: the server reports both states (PostgreSQL 14, "Asynchronous
    Operations").
    """
    driver = record.driver_connection
    if driver is not None and not driver.closed:
        reported = map(driver.pgconn.parameter_status, _READ_ONLY_REPORTS)
        if b"on" in reported:
            record.invalidate()


def _forget_values(context: ExceptionContext) -> None:
    """Cut DETAIL off an error: errors are logged, and DETAIL quotes whole rows of personal data."""
    original, wrapped = context.original_exception, context.sqlalchemy_exception
    if isinstance(original, psycopg.Error) and wrapped is not None:
        said = str(original)
        kept = said.partition("\nDETAIL:")[0]
        original.args = (kept,)
        wrapped.args = tuple(str(part).replace(said, kept) for part in wrapped.args)


def _refuse_dead_socket(_connection: Any, record: ConnectionPoolEntry, _proxy: object) -> None:
    driver = record.driver_connection
    if driver is None or driver.closed or _readable(driver.pgconn.socket):
        raise sqlalchemy.exc.DisconnectionError("the server has closed this connection")


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))  # see decision 0010


async def connect(url: PostgresUrl, *, application_name: str) -> psycopg.AsyncConnection[Any]:
    """Open a connection outside the pool, in autocommit: for LISTEN, probes and session locks."""
    options = session_options(url)
    return await sessions.connect(url, application_name=application_name, options=options)


def session_options(url: PostgresUrl) -> str:
    """The `options` of a connection: `SESSION`, then those of the address, which win."""
    given = conninfo_to_dict(url).get("options") or ""
    ours = " ".join(f"-c {name}={value}" for name, value in SESSION.items())
    return f"{ours} {given}".rstrip()


async def ensure_reachable(url: PostgresUrl, *, variable: str) -> None:
    """Connect once; raise StartupProblem with one line naming `variable` if that fails."""
    try:
        connection = await connect(url, application_name="start")
    except psycopg.Error as error:
        raise unreachable(url, variable, error) from None
    await connection.close()


def unreachable(url: PostgresUrl, variable: str, error: Exception) -> StartupProblem:
    """What a failed connect means for the person who starts the process."""
    text = str(error)
    if "password authentication failed" in text:
        return StartupProblem(
            f"PostgreSQL at {url.address} refuses the user or password of {variable}"
        )
    for server_said in _SERVER_SAYS:
        if server_said in text:
            reason = text.rpartition("FATAL:")[2].split("\n")[0].strip()
            return StartupProblem(f"PostgreSQL at {url.address} says: {reason} (see {variable})")
    return StartupProblem(
        f"PostgreSQL at {url.address} cannot be reached: is it up? (see {variable})"
    )

"""Connections of their own, apart from every pool: to listen, to notify, to hold locks.

A loss is noticed within some 15 seconds, on both sides. All are in autocommit: no transaction may
be open while something else is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg import sql

from outbox.addresses import Database, DatabaseAddress

CONNECT_TIMEOUT = 5
"""Seconds, for each address of a name."""

# A lost server is noticed (libpq, "Parameter Key Words") long before the kernel's quarter of an
# hour, or its two hours on a connection that only listens.
KEEPALIVES: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "connect_timeout": CONNECT_TIMEOUT,
}

# Only the server can notice a lost client: until then the client's locks have an owner.
SERVER_KEEPALIVES = {
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15s",
}

_SETTINGS = {"TimeZone": "UTC", "DateStyle": "ISO", "lock_timeout": "5s", **SERVER_KEEPALIVES}
_SESSION = sql.SQL("SELECT ") + sql.SQL(", ").join(
    sql.SQL("set_config({}, {}, false)").format(*setting) for setting in _SETTINGS.items()
)

Connection = TypeVar("Connection", bound="psycopg.AsyncConnection[Any]")


async def connect(database: Database, **options: Any) -> psycopg.AsyncConnection[Any]:
    """Open a connection in autocommit. `options` are libpq's and go before the address's own."""
    given = {**DatabaseAddress.of(database).parameters, **KEEPALIVES, **options}
    return await closed_if_cancelled(psycopg.AsyncConnection.connect(autocommit=True, **given))


async def open_lock_session(
    database: Database, name: str, **options: str
) -> psycopg.AsyncConnection[Any]:
    """Open a connection that holds locks for as long as it lives.

    `name` is what pg_stat_activity shows.
    """
    connection = await connect(database, application_name=name, **options)
    try:
        await connection.execute(_SESSION)
    except BaseException:
        await connection.close()
        raise
    return connection


async def closed_if_cancelled(connecting: Awaitable[Connection]) -> Connection:
    """Return the connection. Cancelled in mid-way it is closed: a server would keep it."""
    opening = asyncio.ensure_future(connecting)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        with suppress(psycopg.Error, OSError):
            await (await opening).close()
        raise

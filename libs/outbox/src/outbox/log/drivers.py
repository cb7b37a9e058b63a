"""Running the library's statements on the connection of a caller's transaction.

psycopg takes them as they are. For another driver, such as asyncpg, SQLAlchemy binds the
parameters. See decision 1114.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import psycopg
from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import Session

from outbox.errors import InvalidSetting
from outbox.log.guard import refuse_autocommit

Writes = AsyncConnection | AsyncSession | psycopg.AsyncConnection[Any]
WritesSync = Connection | Session | psycopg.Connection[Any]
"""A connection with the caller's open transaction: of SQLAlchemy, its ORM or the driver."""

_CAST = re.compile(r"%\((\w+)\)s::(\w+(?:\[\])?)")
_PARAMETER = re.compile(r"%\((\w+)\)s")


async def run(
    connection: Writes, statement: str, parameters: dict[str, Any]
) -> CursorResult[Any] | psycopg.AsyncCursor[Any]:
    """Raises `InvalidSetting` if this is not PostgreSQL, or `AutocommitRefused`."""
    if isinstance(connection, psycopg.AsyncConnection):
        refuse_autocommit(connection)
        return await connection.execute(statement, parameters)
    if isinstance(connection, AsyncSession):
        connection = await connection.connection()
    return await connection.run_sync(_run_on, statement, parameters)


def run_sync(connection: WritesSync, statement: str, parameters: dict[str, Any]) -> None:
    """The same for a synchronous connection or session."""
    if isinstance(connection, psycopg.Connection):
        refuse_autocommit(connection)
        connection.execute(statement, parameters)
        return
    real = connection.connection() if isinstance(connection, Session) else connection
    _run_on(real, statement, parameters)


def _run_on(
    connection: Connection, statement: str, parameters: dict[str, Any]
) -> CursorResult[Any]:
    if _is_psycopg(connection):
        refuse_autocommit(connection.connection.driver_connection)
        return connection.exec_driver_sql(statement, parameters)
    refuse_autocommit(connection.connection.dbapi_connection)
    return connection.execute(_translated(statement), parameters)


def _is_psycopg(connection: Connection) -> bool:
    dialect = connection.dialect
    if dialect.name != "postgresql":
        instead = f"this one is {dialect.name}+{dialect.driver}://"
        raise InvalidSetting("connection", f"has to be to PostgreSQL; {instead}")
    return dialect.driver == "psycopg"


@cache
def _translated(statement: str) -> TextClause:
    cast = _CAST.sub(r"CAST(:\1 AS \2)", statement)
    return text(_PARAMETER.sub(r":\1", cast))

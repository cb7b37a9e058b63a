"""A transaction that is lent to other code, which must not end it.

Invariant: only the block that began the transaction commits it or rolls it back. A commit or a
rollback by the code in between is refused before the database hears of it, so no effect gets out
without its position. `check` notices code that ends or breaks the transaction all the same.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import PipelineStatus, TransactionStatus
from psycopg.sql import Composable
from sqlalchemy import RootTransaction
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.errors import AutocommitRefused, TransactionEnded
from outbox.log.deferred import Statement, raw_connection, run
from outbox.log.transaction_ends import ends_transaction
from outbox.losses import one_line
from outbox.postgres.notify import Along

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GuardedTransaction:
    """One open transaction; `raw` is the driver's connection beneath `connection`."""

    connection: AsyncConnection
    raw: psycopg.AsyncConnection[Any]
    _root: RootTransaction | None

    def check(self, *, begun: bool = True) -> None:
        """Raises TransactionEnded unless the transaction is open and sound, as it was lent.

        Without `begun` it may be that no statement has opened it yet. Costs no round trip.
        """
        connection = self.connection.sync_connection
        if connection is None or connection.closed or connection.invalidated or self.raw.closed:
            raise TransactionEnded("closed its connection, or cancelled a statement on it")
        if is_busy(self.raw):
            raise TransactionEnded("left a pipeline, a COPY or a statement unfinished")
        status = self.raw.pgconn.transaction_status
        if status == TransactionStatus.INERROR:
            raise TransactionEnded("went on after a statement had failed")
        if status != TransactionStatus.INTRANS and begun:
            raise TransactionEnded("ended it", may_be_committed=True)
        root = connection.get_transaction()
        if root is not self._root or root is None or not root.is_active:
            raise TransactionEnded("asked for its rollback or commit")
        if connection.in_nested_transaction():
            # A generator, say, may roll it back later and undo what others wrote meanwhile.
            raise TransactionEnded("left a savepoint open")

    async def commit(
        self, statements: Iterable[Statement], last: Statement, along: Along | None = None
    ) -> None:
        """Run statements whose answers are not needed, and COMMIT, in one round trip.

        If one of them fails, nothing is committed. The error of COMMIT itself is SQLAlchemy's, as
        if its connection had committed. What goes along is sent if nothing fails.
        """
        closing = self.raw.cursor()
        try:
            async with committing(self.raw, along):
                await run(self.raw.cursor(), statements)
                await closing.execute(last[0].encode(), last[1])
        except psycopg.Error as problem:
            if closing.pgresult is None or problem.sqlstate is None:
                raise
            raise DBAPIError.instance("COMMIT", None, problem, psycopg.Error) from problem


@asynccontextmanager
async def committing(
    raw: psycopg.AsyncConnection[Any], along: Along | None = None
) -> AsyncIterator[None]:
    """A pipeline that ends with COMMIT and, right behind it, what goes along (decision 1715).

    If only that is refused, the transaction is committed, and the notifier sends it.
    """
    commit = psycopg.AsyncCursor(raw)
    try:
        async with raw.pipeline():
            yield
            await commit.execute(b"COMMIT", prepare=False)
            if along is not None:
                notifying = psycopg.AsyncCursor(raw)
                await notifying.execute(along.statement.encode(), along.parameters)
    except psycopg.Error as problem:
        if commit.pgresult is None or raw.closed:
            raise
        logger.warning("notifications go once more, PostgreSQL refuses them: %s", one_line(problem))
    else:
        if along is not None:
            along.sent = True


@asynccontextmanager
async def pipelined(raw: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """A pipeline that begins the transaction, unless it has begun: one round trip for all of it.

    psycopg's own BEGIN waits for its answer, in a pipeline too.
    """
    async with raw.pipeline():
        if raw.pgconn.transaction_status == TransactionStatus.IDLE and not raw.autocommit:
            raw._autocommit = True  # so that psycopg sends no BEGIN before ours
            try:
                await raw.execute(begin_statement(raw.isolation_level), prepare=False)
            finally:
                raw._autocommit = False
        yield


def begin_statement(level: int | None) -> bytes:
    """The BEGIN of a transaction with this isolation level of psycopg's; None is the server's."""
    name = "" if level is None else f" ISOLATION LEVEL {psycopg.IsolationLevel(level).name}"
    return f"BEGIN{name.replace('_', ' ')}".encode()


@asynccontextmanager
async def guarded(connection: AsyncConnection) -> AsyncIterator[GuardedTransaction]:
    """Start the connection and a transaction; code inside can neither commit it nor roll it back.

    Commits when the block ends, rolls back when it raises; both give the connection back.

    Raises `AutocommitRefused` on an engine in autocommit, `TransactionEnded` if the block ended or
    broke the transaction and went on.
    """
    async with connection, connection.begin():
        raw = await raw_connection(connection)
        if raw.autocommit:
            raise AutocommitRefused("the engine")
        root = connection.sync_connection.get_transaction()  # type: ignore[union-attr]
        transaction = GuardedTransaction(connection, raw, root)
        try:
            with _refusing(raw):
                yield transaction
                transaction.check(begun=False)
        except BaseException:
            await _clean_up(connection, raw, root)
            raise


async def _clean_up(
    connection: AsyncConnection, raw: psycopg.AsyncConnection[Any], root: RootTransaction | None
) -> None:
    """Leave nothing of a failed transaction in the pool."""
    if raw.closed or connection.closed:
        return
    if is_busy(raw):
        await connection.invalidate()
    elif root is None or not root.is_active:
        # After a refused commit or rollback SQLAlchemy believes that the transaction has ended.
        await raw.rollback()


def is_busy(raw: psycopg.AsyncConnection[Any]) -> bool:
    """Whether an unfinished operation keeps the connection from any other."""
    return (
        raw.pgconn.pipeline_status != PipelineStatus.OFF
        or raw.pgconn.transaction_status == TransactionStatus.ACTIVE
    )


def refuse_autocommit(connection: object) -> None:
    """Raises AutocommitRefused unless the next write is part of a transaction.

    `connection` is psycopg's, or SQLAlchemy's adapter for another driver.
    """
    begun = (
        isinstance(connection, (psycopg.AsyncConnection, psycopg.Connection))
        and connection.pgconn.transaction_status != TransactionStatus.IDLE
    )
    if getattr(connection, "autocommit", False) and not begun:
        raise AutocommitRefused("the connection")


class _GuardedCursor(psycopg.AsyncCursor[Any]):
    """Refuses statements that would end the transaction."""

    async def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        self._refuse_end(query)
        return await super().execute(query, *args, **options)

    async def executemany(self, query: Any, *args: Any, **options: Any) -> None:
        self._refuse_end(query)
        await super().executemany(query, *args, **options)

    def _refuse_end(self, query: Any) -> None:
        text = query.as_string(self) if isinstance(query, Composable) else query
        text = text.decode(errors="replace") if isinstance(text, bytes) else text
        if isinstance(text, str) and ends_transaction(text):
            raise TransactionEnded("asked for its rollback or commit")


@contextmanager
def _refusing(raw: psycopg.AsyncConnection[Any]) -> Iterator[None]:
    """Refuse the driver's own ways to end a transaction during the block.

    psycopg refuses them within `connection.transaction()`, which would cost a round trip more.
    """

    async def refuse() -> None:
        raise TransactionEnded("asked for its rollback or commit")

    factory = raw.cursor_factory
    if factory is psycopg.AsyncCursor:
        raw.cursor_factory = _GuardedCursor
    # A handler cannot end the transaction that stores its position: see decision 1141.
    raw.commit = raw.rollback = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        del raw.commit, raw.rollback
        raw.cursor_factory = factory

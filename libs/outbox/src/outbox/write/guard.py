"""A transaction that is given to somebody else's code, which must not end it.

Invariant: only the block that began the transaction commits it or rolls it back. A commit or a
rollback by the code in between is refused before the database hears of it, so no effect gets out
without its position. What ends or breaks the transaction all the same is noticed by `check`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import RootTransaction
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from outbox.errors import AutocommitRefused, TransactionEnded
from outbox.write.outgoing import raw_connection

_ENDS = r"\s*(?:COMMIT|END|ABORT|ROLLBACK(?!\s+(?:WORK\s+|TRANSACTION\s+)?TO\b)|PREPARE\s+TRAN)\b"
_TEXT = re.compile(_ENDS, re.IGNORECASE)
_BYTES = re.compile(_ENDS.encode(), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class GuardedTransaction:
    """One open transaction; `raw` is the driver's connection beneath `connection`."""

    connection: AsyncConnection
    raw: psycopg.AsyncConnection[Any]
    _root: RootTransaction | None

    def check(self, *, begun: bool = True) -> None:
        """Raises TransactionEnded unless the transaction is open and sound, as it was given.

        Not `begun` means that perhaps no statement has opened it yet. A lost connection passes:
        the next statement says so better. Costs no round trip.
        """
        if self.connection.closed:
            raise TransactionEnded("closed its connection")
        if self.raw.closed:
            return
        status = self.raw.pgconn.transaction_status
        if status == TransactionStatus.INERROR:
            raise TransactionEnded("went on after a statement had failed in it")
        if status != TransactionStatus.INTRANS and begun:
            raise TransactionEnded("ended it", may_be_committed=True)
        root = self.connection.sync_connection.get_transaction()  # type: ignore[union-attr]
        if root is not self._root or root is None or not root.is_active:
            raise TransactionEnded("asked for its rollback or commit")


@asynccontextmanager
async def guarded(engine: AsyncEngine) -> AsyncIterator[GuardedTransaction]:
    """Commit when the block ends, roll back when it raises; nobody inside can do either.

    Raises `AutocommitRefused` on an engine in autocommit, `TransactionEnded` where the block
    ended or broke the transaction and went on.
    """
    async with engine.begin() as connection:
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
            # SQLAlchemy takes a transaction whose end was refused for one that has ended.
            if not raw.closed and not connection.closed and not (root and root.is_active):
                await raw.rollback()
            raise


def refuse_autocommit(connection: object) -> None:
    """Raises AutocommitRefused unless what is written next is part of a transaction.

    `connection` is psycopg's, or SQLAlchemy's adapter of another driver's.
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
        if (isinstance(query, str) and _TEXT.match(query)) or (
            isinstance(query, bytes) and _BYTES.match(query)
        ):
            raise TransactionEnded("asked for its rollback or commit")
        return await super().execute(query, *args, **options)


@contextmanager
def _refusing(raw: psycopg.AsyncConnection[Any]) -> Iterator[None]:
    """The driver's own ways to end a transaction, closed for a while.

    psycopg refuses them within `connection.transaction()`, which would cost a round trip more.
    """

    async def refuse() -> None:
        raise TransactionEnded("asked for its rollback or commit")

    factory = raw.cursor_factory
    if factory is psycopg.AsyncCursor:
        raw.cursor_factory = _GuardedCursor
    raw.commit = raw.rollback = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        del raw.commit, raw.rollback
        raw.cursor_factory = factory

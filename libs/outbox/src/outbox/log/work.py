"""Beginning units of work on one database, and sending their notifications after the commit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from outbox.addresses import on_psycopg
from outbox.errors import AutocommitRefused
from outbox.event import Envelope
from outbox.log.deferred import DeferredStatements, raw_connection
from outbox.log.group_commit import GroupCommit
from outbox.log.guard import guarded
from outbox.log.lazy_transaction import LazyTransaction
from outbox.log.outbox import Outbox
from outbox.log.unit_of_work import UnitOfWork
from outbox.postgres.notifications import Notifications
from outbox.postgres.notify import Along, Notifier
from outbox.postgres.table_groups import TableGroup, check


class Work:
    """Begins units of work on one database."""

    def __init__(
        self,
        engine: AsyncEngine,
        outbox: Outbox,
        notifier: Notifier,
        *,
        traceparent: Callable[[], str | None] = lambda: None,
    ) -> None:
        if engine.get_execution_options().get("isolation_level") == "AUTOCOMMIT":
            raise AutocommitRefused("the engine of Work")
        self.engine = on_psycopg(engine)
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._outbox = outbox
        self._notifier = notifier
        self.notifications = Notifications(self.engine)
        """What parts of this process hear of the database."""
        notifier.heard_here = self.notifications.heard_here
        notifier.may_be_heard_here = self.notifications.may_be_heard_here
        self._group = GroupCommit(self.engine, notifier)
        self._traceparent = traceparent

    async def check(self, *groups: TableGroup) -> None:
        """Raise `AutocommitRefused` on an engine in autocommit, `SchemaBehind` without the tables
        of these groups."""
        async with guarded(self.engine.connect()) as transaction:
            await check(transaction.connection, groups)

    @asynccontextmanager
    async def begin(self, *, cause: Envelope | None = None) -> AsyncIterator[UnitOfWork]:
        """Commit when the block ends, roll back when it raises; code inside can do neither.

        `cause` is the event that causes the emitted ones, if there is one. The transaction begins
        with the first use of `unit.connection` or `unit.session()`. A unit that only wrote is
        committed at the end of the block, together with others (decision 1701): the errors of its
        statements are raised there.

        Raises `TransactionEnded` if the block ended or broke the transaction and went on, and
        `AutocommitRefused` on an engine in autocommit.

        async with work.begin() as unit:
            await unit.connection.execute(...)
            await unit.emit(OrderCreated(...))
        """
        trace = cause.traceparent if cause else self._traceparent()
        async with LazyTransaction(self.engine) as transaction:
            unit = UnitOfWork(
                transaction.connection, self._outbox, transaction, cause=cause, traceparent=trace
            )
            try:
                yield unit
            finally:
                unit.end()
        if transaction.waiting:
            await self._group.commit(transaction)
        else:
            transaction.committed(self._notifier)

    def read(self) -> AsyncConnection:
        """A connection for reading, each statement with its own snapshot.

        `async with work.read() as connection`. Without a transaction a read is one round trip
        instead of three.
        """
        return self._reading.connect()  # see decision 0014

    @asynccontextmanager
    async def statements(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """The driver's connection, for the library's own statements: each is a transaction."""
        async with self.read() as connection:
            raw = await raw_connection(connection)
            try:
                yield raw
            finally:
                if raw.closed:
                    # SQLAlchemy has not seen the error, and would log a reset in vain.
                    await connection.invalidate()

    def within(
        self, connection: AsyncConnection, cause: Envelope | None, deferred: DeferredStatements
    ) -> UnitOfWork:
        """The unit of work of a handler, inside a transaction that the consumer began."""
        trace = cause.traceparent if cause else None
        return UnitOfWork(connection, self._outbox, deferred, cause=cause, traceparent=trace)

    def going_along(self, deferred: DeferredStatements) -> Along | None:
        """The notifications that the commit itself shall send, if there are any."""
        return deferred.going_along(self._notifier)

    def committed(self, deferred: DeferredStatements) -> None:
        """Send the other notifications of a committed transaction."""
        deferred.committed(self._notifier)

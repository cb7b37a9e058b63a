"""The unit of work: one transaction, the events it emits, and notifications after its commit."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from outbox import tracing
from outbox.errors import UnitEnded
from outbox.event import Envelope, Event
from outbox.log.deferred import DeferredStatements
from outbox.log.outbox import Outbox
from outbox.postgres.notify import Notifier

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lifetime:
    ended: bool = False
    used_after: bool = False


class UnitOfWork:
    """One open transaction. Only the code that began it can commit it.

    After its block or its handler has ended, every method raises `UnitEnded`.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        outbox: Outbox,
        *,
        cause: Envelope | None = None,
        traceparent: str | None = None,
        deferred: DeferredStatements | None = None,
        lifetime: _Lifetime | None = None,
    ) -> None:
        self.cause = cause
        self._connection = connection
        self._outbox = outbox
        self._traceparent = traceparent
        self._deferred = deferred or DeferredStatements(connection)
        self._lifetime = lifetime or _Lifetime()

    @property
    def connection(self) -> AsyncConnection:
        """The transaction's connection. Its commit and rollback are refused; savepoints work."""
        self._must_be_open()
        return self._connection

    @asynccontextmanager
    async def session(self) -> AsyncIterator[AsyncSession]:
        """An ORM session inside this transaction, in a savepoint of its own.

        Its changes are flushed when the block ends. If the block raises, only they are undone.

        async with unit.session() as session:
            session.add(Mail(order_id=order.id))
        """
        async with AsyncSession(
            self.connection, join_transaction_mode="create_savepoint", expire_on_commit=False
        ) as session:
            await session.connection()  # opens the savepoint now, not at the first flush
            yield session
            await session.commit()

    def caused_by(self, event: Envelope) -> UnitOfWork:
        """The same transaction, for events that one of several events causes.

        async def on_placed(unit: UnitOfWork, events: Sequence[Envelope]) -> None:
            for event in events:
                await unit.caused_by(event).emit(...)
        """
        return UnitOfWork(
            self._connection,
            self._outbox,
            cause=event,
            traceparent=event.traceparent,
            deferred=self._deferred,
            lifetime=self._lifetime,
        )

    async def emit(self, *events: Event) -> None:
        """Add events to the outbox, in the order given."""
        self._must_be_open()
        if events:
            rows, parameters = self._outbox.rows(
                *events, cause=self.cause, traceparent=self._trace(*events)
            )
            await self._deferred.send(f"WITH {rows} SELECT 1", parameters, outbox_only=True)
            self._deferred.emitted = True

    async def write(self, tables: str, parameters: Mapping[str, Any], *events: Event) -> None:
        """Write rows and emit events in one statement.

        `tables` are data-modifying WITH queries, without the WITH, in the driver's paramstyle:
        `placed AS (INSERT INTO orders … VALUES (%(id)s, …))`.
        """
        self._must_be_open()
        rows, more = self._outbox.rows(*events, cause=self.cause, traceparent=self._trace(*events))
        await self._deferred.send(f"WITH {tables}, {rows} SELECT 1", {**parameters, **more})
        self._deferred.emitted = True

    async def send(self, statement: str, parameters: Mapping[str, Any]) -> None:
        """Run a statement whose answer is not needed, in the driver's paramstyle.

        `INSERT INTO cooked VALUES (%(id)s)`. In a handler this is the fast way to write: the
        statement goes to the database together with those of other events, before any statement
        that could see what it writes. So its error may come later, at the latest before the commit.
        """
        self._must_be_open()
        await self._deferred.send(statement, parameters)

    async def schedule(self, event: Event, *, key: str, at: datetime) -> None:
        """Emit an event later; the same key again replaces it."""
        await self._outbox.schedule(
            self.connection, event, key=key, at=at, cause=self.cause, traceparent=self._trace(event)
        )
        self._deferred.scheduled = True

    async def unschedule(self, key: str) -> bool:
        """Cancel a scheduled event, before emitting others of its aggregate; false if too late."""
        return await self._outbox.unschedule(self.connection, key)

    def announce(self, channel: str, key: str) -> None:
        """After the commit, tell listeners of the channel that the key has settled."""
        self._must_be_open()
        self._deferred.announced.append((channel, key))

    def _trace(self, *events: Event) -> str | None:
        return tracing.creating([event.type for event in events], self._traceparent)

    def _must_be_open(self) -> None:
        if self._lifetime.ended:
            self._lifetime.used_after = True
            problem = UnitEnded(self.cause)
            logger.error("%s", problem)  # the error may end in a task that nothing awaits
            raise problem

    def end(self) -> None:
        """Refuse all further use. For code that begins units of work."""
        self._lifetime.ended = True

    @property
    def used_after_end(self) -> bool:
        """Whether it was used after its end. For code that begins units of work."""
        return self._lifetime.used_after

    def committed(self, notifier: Notifier) -> None:
        """Send the notifications after the commit. For code that begins units of work."""
        self._deferred.committed(notifier)


class SingleWrite:
    """A unit of work of exactly one statement."""

    def __init__(self, unit: UnitOfWork) -> None:
        self._unit: UnitOfWork | None = unit

    async def write(self, tables: str, parameters: Mapping[str, Any], *events: Event) -> None:
        """See `UnitOfWork.write`. A second call is a bug: it would be another transaction."""
        if self._unit is None:
            raise RuntimeError("a single write was written to twice")
        unit, self._unit = self._unit, None
        await unit.write(tables, parameters, *events)

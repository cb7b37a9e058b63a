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
from outbox.log.deferred import Statements
from outbox.log.outbox import Outbox

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Lifetime:
    ended: bool = False
    used_after: bool = False


class UnitOfWork:
    """One transaction. Only the code that began it can commit it.

    In a block of `work.begin()` it begins with the first statement on `connection` or in a
    `session`. A unit that only wrote (`write`, `emit`, `send`) has no transaction of its own: at
    the end of the block its statements are committed together with those of other units.

    After its block or its handler has ended, every method raises `UnitEnded`.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        outbox: Outbox,
        statements: Statements,
        *,
        cause: Envelope | None = None,
        traceparent: str | None = None,
        lifetime: _Lifetime | None = None,
    ) -> None:
        self.cause = cause
        self._connection = connection
        self._outbox = outbox
        self._traceparent = traceparent
        self._statements = statements
        self._lifetime = lifetime or _Lifetime()

    @property
    def source(self) -> str:
        """The source of the events that it emits."""
        return self._outbox.source

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
            self._statements,
            cause=event,
            traceparent=event.traceparent,
            lifetime=self._lifetime,
        )

    async def emit(self, *events: Event) -> None:
        """Add events to the outbox, in the order given."""
        self._must_be_open()
        if events:
            rows, parameters = self._outbox.rows(
                *events, cause=self.cause, traceparent=self._trace(*events)
            )
            await self._statements.send(f"WITH {rows} SELECT 1", parameters, outbox_only=True)
            self._statements.emitted = True

    async def write(self, tables: str, parameters: Mapping[str, Any], *events: Event) -> None:
        """Write rows and emit events in one statement.

        `tables` are data-modifying WITH queries, without the WITH, in the driver's paramstyle:
        `placed AS (INSERT INTO orders … VALUES (%(id)s, …))`. Its error may come later, as that
        of `send`.
        """
        self._must_be_open()
        rows, more = self._outbox.rows(*events, cause=self.cause, traceparent=self._trace(*events))
        await self._statements.send(f"WITH {tables}, {rows} SELECT 1", {**parameters, **more})
        self._statements.emitted = True

    async def send(self, statement: str, parameters: Mapping[str, Any]) -> None:
        """Run a statement whose answer is not needed, in the driver's paramstyle.

        `INSERT INTO cooked VALUES (%(id)s)`. This is the fast way to write: the statement goes to
        the database together with others, before any statement that could see what it writes. So
        its error may come later: before a handler's commit, or at the end of the block.
        """
        self._must_be_open()
        await self._statements.send(statement, parameters)

    async def schedule(self, event: Event, *, key: str, at: datetime) -> None:
        """Emit an event later; the same key again replaces it.

        An error of its statement may come later, as that of `send`.
        """
        self._must_be_open()
        statement, parameters = self._outbox.scheduled(
            event, key=key, at=at, cause=self.cause, traceparent=self._trace(event)
        )
        await self._statements.send(statement, parameters)
        self._statements.scheduled = True

    async def unschedule(self, *keys: str) -> frozenset[str]:
        """Remove scheduled events, before emitting others of their aggregates.

        Returns the keys of those that were not too late.
        """
        return await self._outbox.unschedule(self.connection, *keys)

    def announce(self, channel: str, key: str) -> None:
        """After the commit, tell listeners of the channel that the key has settled."""
        self._must_be_open()
        self._statements.announced.append((channel, key))

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

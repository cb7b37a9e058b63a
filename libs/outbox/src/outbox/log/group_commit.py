"""Units of work that only wrote, committed together: one transaction, one round trip, one fsync.

While one or two transactions are under way, the units that finish meanwhile wait. The next
transaction writes them all in one pipeline, and each of them returns after its commit.

Invariant: a unit takes effect wholly and once, or not at all. It runs a second time only after the
server has reported an error, which rolled the first time back. If the connection is lost while
COMMIT is under way, nobody knows, and each unit of the group raises that error.

When a statement of a group fails, the group is rolled back and its units run singly, side by side,
so each gets the outcome that it would have had alone. A group waits only briefly for a lock, so
one unit's row does not hold up the others, and two groups that lock rows in different order end
quickly. See decision 1701.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from outbox.failpoints import hit
from outbox.log.deferred import Statement, raw_connection
from outbox.log.guard import begin_statement, committing, guarded
from outbox.log.lazy_transaction import LazyTransaction
from outbox.losses import LAST_WORDS, sqlstate_of
from outbox.postgres.notify import Along, Notifier

WRITERS = 2
"""At most this many groups are under way."""
SIZE = 64
"""At most this many units are one group."""
_BEGIN = begin_statement(None)
_LOCK_TIMEOUT = b"SET LOCAL lock_timeout = '100ms'"


class _RolledBack(Exception):
    """The server refused a statement of a group, so none of its units took effect."""


@dataclass(frozen=True, slots=True)
class _Member:
    """A unit whose caller waits for `done`."""

    unit: LazyTransaction
    done: asyncio.Future[None]

    @property
    def first_stream(self) -> tuple[str, str]:
        """The first stream that it writes to, in the order in which one statement locks them."""
        return min(map(_first_stream, self.unit.waiting))


class GroupCommit:
    """Commits units of one process on one database."""

    def __init__(self, engine: AsyncEngine, notifier: Notifier) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._notifier = notifier
        self._waiting: deque[_Member] = deque()
        self._writers = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._begin: bytes | None = None

    async def commit(self, unit: LazyTransaction) -> None:
        """Return when what waits in the unit is committed; raise the error of the unit itself.

        If the caller is cancelled before the transaction begins, nothing is written. Later the
        transaction goes on, and its commit decides.
        """
        member = _Member(unit, asyncio.get_running_loop().create_future())
        self._waiting.append(member)
        if self._writers < WRITERS:
            self._writers += 1
            self._start(self._write())
        await member.done

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="group commit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self) -> None:
        try:
            while group := self._next_group():
                await (self._together(group) if len(group) > 1 else self._commit_alone(group[0]))
        finally:
            self._writers -= 1

    def _next_group(self) -> list[_Member]:
        group: list[_Member] = []
        while self._waiting and len(group) < SIZE:
            member = self._waiting.popleft()
            if not member.done.done():  # its caller was cancelled
                group.append(member)
        return group

    async def _together(self, group: list[_Member]) -> None:
        try:
            with self._outcome_of(*group):
                # All groups lock streams in one order; units of one stream stay as they came.
                group.sort(key=lambda member: member.first_stream)
                await self._pipeline([one for member in group for one in member.unit.waiting])
        except _RolledBack:
            for member in group:
                self._start(self._commit_alone(member))

    async def _commit_alone(self, member: _Member) -> None:
        if not member.done.done():
            with self._outcome_of(member):
                await self._run_alone(member.unit)

    @contextmanager
    def _outcome_of(self, *members: _Member) -> Iterator[None]:
        """Tell these units whether the block committed them."""
        try:
            yield
        except _RolledBack:
            raise
        except Exception as problem:
            for member in members:
                if not member.done.done():
                    member.done.set_exception(problem)
        except BaseException:
            for member in members:
                member.done.cancel()
            raise
        else:
            hit("group.committed")
            for member in members:
                member.unit.committed(self._notifier)
                if not member.done.done():
                    member.done.set_result(None)

    async def _how_to_begin(self) -> bytes:
        """BEGIN with the isolation level of the engine. Raises AutocommitRefused."""
        if self._begin is None:
            async with guarded(self._engine.connect()) as transaction:
                self._begin = begin_statement(transaction.raw.isolation_level)
        return self._begin

    async def _pipeline(self, statements: Sequence[Statement], along: Along | None = None) -> None:
        """Commit in one round trip. Raises _RolledBack if the server refused a statement."""
        begin = await self._how_to_begin()
        async with self._autocommit.connect() as connection:
            raw, commits = await raw_connection(connection), False
            try:
                async with committing(raw, along), raw.cursor() as cursor:
                    await cursor.execute(begin)
                    if len(statements) > 1:
                        await cursor.execute(_LOCK_TIMEOUT)
                    for statement, parameters in statements:
                        await cursor.execute(statement.encode(), parameters)
                    commits = True
            except Exception as problem:
                state = sqlstate_of(problem)
                reported = state is not None and not state.startswith(LAST_WORDS)
                if raw.closed or (commits and not reported):
                    await connection.invalidate()  # SQLAlchemy has not seen the error
                    raise _as_of_sqlalchemy(problem) from problem
                await raw.rollback()
                raise _RolledBack from problem

    async def _run_alone(self, unit: LazyTransaction) -> None:
        statements, along = unit.waiting, unit.going_along(self._notifier)
        if along is None and len(statements) == 1 and await self._how_to_begin() == _BEGIN:
            # A transaction by itself.
            async with self._autocommit.connect() as connection:
                await connection.exec_driver_sql(*_for_sqlalchemy(statements[0]))
            return
        with suppress(_RolledBack):
            await self._pipeline(statements, along)
            return
        # Once more, without the short wait for locks, for the error that SQLAlchemy makes of it.
        async with guarded(self._engine.connect()) as transaction:
            for statement in statements:
                await transaction.connection.exec_driver_sql(*_for_sqlalchemy(statement))


def _as_of_sqlalchemy(problem: Exception) -> BaseException:
    """What SQLAlchemy raises where its own connection is lost."""
    return DBAPIError.instance("COMMIT", None, problem, psycopg.Error, connection_invalidated=True)


def _for_sqlalchemy(statement: Statement) -> tuple[str, dict[str, Any]]:
    text, parameters = statement
    return text, dict(parameters)


def _first_stream(statement: Statement) -> tuple[str, str]:
    kinds = statement[1].get("outbox_aggregate_type", "")
    ids = statement[1].get("outbox_aggregate_id", "")
    return (
        (kinds, ids)
        if isinstance(kinds, str)
        else min(zip(kinds, ids, strict=True), default=("", ""))
    )

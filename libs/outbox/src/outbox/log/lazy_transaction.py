"""The transaction of a block of `work.begin()`: begun by its first statement that has an answer.

Until then the statements wait. If the block ends before, it needed no transaction of its own, and
what waits goes to the group commit.

Invariant: a statement about the transaction itself, such as SET LOCAL, a savepoint or COMMIT, does
not wait. In a group it would change or end what the units of others run in.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from outbox.errors import UnitEnded
from outbox.log.deferred import Statement, Statements
from outbox.log.guard import guarded
from outbox.log.lazy_connection import LazyConnection
from outbox.log.transaction_ends import is_about_transaction


class LazyTransaction(Statements):
    """Guarded from its beginning. `async with` ends it, if it began."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__()
        self.connection = LazyConnection(engine, self._begin)
        self.waiting: list[Statement] = []
        """Statements in the order of the calls, until there is a transaction."""
        self._ended = False
        self._guard = AsyncExitStack()

    async def send(
        self,
        statement: str,
        parameters: Mapping[str, Any],
        *,
        outbox_only: bool = False,
    ) -> None:
        if not outbox_only and is_about_transaction(statement):
            await self.connection.ensure_begun()
        if self.connection.begun:
            await self.connection.exec_driver_sql(statement, {**parameters})
        else:
            self.waiting.append((statement, {**parameters}))  # the caller may change its own

    async def __aenter__(self) -> LazyTransaction:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        self._ended = True
        return await self._guard.__aexit__(kind, problem, traceback)

    async def _begin(self, connection: LazyConnection) -> None:
        if self._ended:
            raise UnitEnded(None)
        await self._guard.enter_async_context(guarded(connection))
        connection.begun = True
        waiting, self.waiting = self.waiting, []
        for statement, parameters in waiting:
            await connection.exec_driver_sql(statement, dict(parameters))

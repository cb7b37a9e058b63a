"""A connection that is taken from the pool when it is first used.

Invariant: nobody but `begin` starts it, so no statement runs outside of the guarded transaction
that `begin` enters.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.ext.asyncio.base import asyncstartablecontext
from sqlalchemy.ext.asyncio.engine import AsyncTransaction

Begin = Callable[["LazyConnection"], Awaitable[None]]


def _beginning(method: Any) -> Any:
    @wraps(method)
    async def begun(connection: LazyConnection, *arguments: Any, **options: Any) -> Any:
        await connection.ensure_begun()
        return await method(connection, *arguments, **options)

    return begun


class LazyConnection(AsyncConnection):
    """Calls `begin` before its first statement.

    An `AsyncSession` on it needs a begun one: `AsyncSession(await unit.connection)`, or better
    `unit.session()`.
    """

    __slots__ = ("_begin", "_lock", "_starts", "begun")

    def __init__(self, engine: AsyncEngine, begin: Begin) -> None:
        super().__init__(engine)
        self.begun = False  # `begin` sets it
        self._begin = begin
        self._starts = False
        self._lock = asyncio.Lock()

    async def ensure_begun(self) -> None:
        if self.begun or self._starts:
            return
        async with self._lock:
            if not self.begun:
                self._starts = True
                try:
                    await self._begin(self)
                finally:
                    self._starts = False

    async def start(self, is_ctxmanager: bool = False) -> AsyncConnection:
        if self._starts:
            return await super().start(is_ctxmanager)
        await self.ensure_begun()
        return self

    execute = _beginning(AsyncConnection.execute)
    exec_driver_sql = _beginning(AsyncConnection.exec_driver_sql)
    scalar = _beginning(AsyncConnection.scalar)
    scalars = _beginning(AsyncConnection.scalars)
    run_sync = _beginning(AsyncConnection.run_sync)
    get_raw_connection = _beginning(AsyncConnection.get_raw_connection)
    get_isolation_level = _beginning(AsyncConnection.get_isolation_level)
    execution_options = _beginning(AsyncConnection.execution_options)
    commit = _beginning(AsyncConnection.commit)
    rollback = _beginning(AsyncConnection.rollback)
    invalidate = _beginning(AsyncConnection.invalidate)
    close = _beginning(AsyncConnection.close)

    @asyncstartablecontext
    async def stream(self, *arguments: Any, **options: Any) -> Any:
        await self.ensure_begun()
        result = await super().stream(*arguments, **options)
        try:
            yield result
        except GeneratorExit:
            pass
        else:
            await result.close()

    def begin_nested(self) -> AsyncTransaction:
        return _Savepoint(self, nested=True)


class _Savepoint(AsyncTransaction):
    async def start(self, is_ctxmanager: bool = False) -> AsyncTransaction:
        assert isinstance(self.connection, LazyConnection)
        await self.connection.ensure_begun()
        return await super().start(is_ctxmanager)

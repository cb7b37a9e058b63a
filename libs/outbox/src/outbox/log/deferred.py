"""Statements whose answer is not needed, sent together; and notifications for after the commit.

A round trip for each of these statements would be wasted. In a consumer's transaction they are
deferred and sent in one pipeline (decision 0501): before any other statement that could see what
they write, and before the commit. Those of a block of `work.begin()` are in `lazy_transaction`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Iterable, Mapping
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

import psycopg
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.util import await_only

from outbox.log.merging import merged
from outbox.log.transaction_ends import about_savepoint
from outbox.postgres.notify import DOORBELL, SCHEDULED, Along, Notifier, Pending

Statement = tuple[str, Mapping[str, Any]]
"""In the driver's paramstyle."""

PIPELINE = 500
"""At most this many statements are deferred."""


class Statements(ABC):
    """The statements of one transaction whose answers are not needed, and its notifications."""

    def __init__(self) -> None:
        self.emitted = False
        self.scheduled = False
        self.announced: list[tuple[str, str]] = []
        self.along: Along | None = None

    @abstractmethod
    async def send(
        self, statement: str, parameters: Mapping[str, Any], *, outbox_only: bool = False
    ) -> None:
        """Run a statement in the driver's paramstyle, now or later, in the order of these calls."""

    def going_along(self, notifier: Notifier) -> Along | None:
        """The notifications that the commit itself shall send, if there are any."""
        self.along = notifier.going_along(self._notifications())
        return self.along

    def committed(self, notifier: Notifier) -> None:
        """Send the notifications of the committed transaction that have not gone along."""
        gone = self.along.channels if self.along and self.along.sent else ()
        for channel, keys in self._notifications().items():
            if channel not in gone:
                notifier.announce(channel, *keys)

    def _notifications(self) -> Pending:
        pending: Pending = defaultdict(set)
        for channel, key in self.announced:
            pending[channel].add(key)
        if self.emitted or self.scheduled:
            pending[DOORBELL].update([SCHEDULED] if self.scheduled else [])
        return pending


class DeferredStatements(Statements):
    """Those of a consumer's transaction."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__()
        self._connection = connection
        self._waiting: list[Statement] = []
        self._rows_wait = False
        self.is_cut_off = False
        """Whether an error or a cancellation has ended a flush."""
        # Before each statement that could see what the deferred ones write: decision 0501.
        event.listen(connection.sync_connection, "before_cursor_execute", self._before)

    async def send(
        self, statement: str, parameters: Mapping[str, Any], *, outbox_only: bool = False
    ) -> None:
        self._waiting.append((statement, {**parameters}))  # the caller may change its own
        self._rows_wait = self._rows_wait or not outbox_only
        if len(self._waiting) >= PIPELINE:
            await self.flush()

    async def flush(self) -> None:
        """Send the deferred statements; raises the error of the first one that fails."""
        if not self._waiting:
            return
        self.is_cut_off = True
        raw = await raw_connection(self._connection)
        async with raw.pipeline(), raw.cursor() as cursor:
            await run(cursor, self.hand_over())
        self.is_cut_off = False

    def hand_over(self) -> list[Statement]:
        """The deferred statements, which the caller sends."""
        waiting, self._waiting, self._rows_wait = self._waiting, [], False
        return merged(waiting)

    def _before(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        """Send deferred statements before a statement that could see what they write."""
        savepoint = about_savepoint(statement)
        if savepoint == "to":
            # All deferred statements are younger than the savepoint; it has sent the earlier ones.
            self._waiting, self._rows_wait = [], False
        elif self._waiting and (self._rows_wait or savepoint or "outbox" in statement):
            # Events stay deferred longer: only a statement on the outbox tables could see them, and
            # only a savepoint could take them back.
            await_only(self.flush())


async def run(cursor: psycopg.AsyncCursor[Any], statements: Iterable[Statement]) -> None:
    """Run statements in a pipeline; a run of the same one costs a third of so many calls."""
    for statement, group in groupby(statements, key=itemgetter(0)):
        rows = [parameters for _, parameters in group]
        if len(rows) > 1:
            await cursor.executemany(statement.encode(), rows)
        else:
            await cursor.execute(statement.encode(), rows[0])


async def raw_connection(connection: AsyncConnection) -> psycopg.AsyncConnection[Any]:
    """The psycopg connection beneath, for the library's own statements."""
    fairy = await connection.get_raw_connection()
    return cast("psycopg.AsyncConnection[Any]", fairy.driver_connection)

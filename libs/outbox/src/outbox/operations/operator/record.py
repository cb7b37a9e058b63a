"""Who acts, and the record of it: each change is one row of `outbox_operations_log`.

Invariant: the row is committed before the change begins, and says how it ended. A change that is
one transaction ends its row in that transaction. Two operators never make the same change of the
same thing at once: the second one is told who is at it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace

import psycopg

from outbox.errors import ChangedSince, OperationInProgress, OutboxError, SchemaBehind
from outbox.inbox.parked_rows import Preview
from outbox.operations.database import Connection, fetch
from outbox.operations.pages import Page, key_of
from outbox.postgres import operations_log as sql
from outbox.postgres.operations_log import Operation
from outbox.tracebacks import storable

logger = logging.getLogger(__name__)

DONE, REFUSED, FAILED = "done", "refused", "failed"
MAX_DETAIL = 1_000
_BEYOND_ALL = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: a name, through what (`cli`, `console`, `http`), and from which address."""

    name: str
    via: str
    address: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.via})"


@dataclass(slots=True)
class Change:
    """A change that is being made; `events` is how many were changed, `detail` what else to say."""

    id: int
    events: int | None = None
    detail: str | None = None
    _connection: Connection | None = field(default=None, repr=False)

    async def progress(self, events: int) -> None:
        """Let the record say how far a long change has come."""
        self.events = events
        assert self._connection is not None
        await self._connection.execute(sql.PROGRESS, {"id": self.id, "events": events})


@dataclass(frozen=True, slots=True)
class Record:
    """Writes and reads the record of one database, for one actor."""

    connection: Connection
    actor: Actor

    @asynccontextmanager
    async def change(
        self, what: str, target: str, *, note: str = "", one_transaction: bool = False
    ) -> AsyncIterator[Change]:
        """Make a change under its lock and write it down.

        With `one_transaction` the block is one, and the record of its end belongs to it. Raises
        `OperationInProgress`, and `SchemaBehind` where there is no table to write to.
        """
        async with self._alone(what, target):
            change = await self._begin(what, target, note)
            try:
                async with AsyncExitStack() as stack:
                    if one_transaction:
                        await stack.enter_async_context(self.connection.transaction())
                    yield change
                    await self._end(change, DONE)
            except BaseException as problem:
                change.detail = f"{type(problem).__name__}: {problem}"
                outcome = REFUSED if isinstance(problem, OutboxError) else FAILED
                with suppress(psycopg.Error):
                    await self._end(change, outcome)
                raise
            logger.info("%s: %s of %s", self.actor, what, target)

    async def history(
        self,
        *,
        limit: int = 100,
        after: str | None = None,
        actor: str | None = None,
        what: str | None = None,
    ) -> Page[Operation]:
        """What was changed, the newest first."""
        [before] = key_of(after, int) if after else [_BEYOND_ALL]
        values = {"before": before, "limit": limit + 1, "actor": actor, "what": what}
        found = await fetch(self.connection, Operation, sql.HISTORY, values)
        return Page.of(found, limit, lambda one: [one.id])

    async def _begin(self, what: str, target: str, note: str) -> Change:
        values = {
            "actor": self.actor.name,
            "via": self.actor.via,
            "address": self.actor.address,
            "what": what,
            "target": target,
            "note": note,
        }
        cursor = await self.connection.execute(sql.BEGIN, values)
        [(id_,)] = await cursor.fetchall()
        return Change(id_, _connection=self.connection)

    async def _end(self, change: Change, outcome: str) -> None:
        detail = None if change.detail is None else storable(change.detail)[:MAX_DETAIL]
        values = {"id": change.id, "events": change.events, "outcome": outcome, "detail": detail}
        await self.connection.execute(sql.END, values)

    @asynccontextmanager
    async def _alone(self, what: str, target: str) -> AsyncIterator[None]:
        key = {"what": what, "target": target}
        cursor = await self.connection.execute(sql.LOCK, key)
        [(exists, locked)] = await cursor.fetchall()
        if not exists:
            problem = f"there is no table {sql.TABLE}: `outbox schema` prints what makes it"
            raise SchemaBehind("operations", problem)
        if not locked:
            running = await (await self.connection.execute(sql.RUNNING, key)).fetchone()
            name, via, since = running or ("somebody else", "just now", None)
            raise OperationInProgress(what, target, f"{name} ({via})", since)
        try:
            yield
        finally:
            with suppress(psycopg.Error):
                await self.connection.execute(sql.UNLOCK, key)


def refuse_changed(seen: Preview | None, now: Preview) -> None:
    """Raise `ChangedSince` unless the change would move what was seen, or nothing was."""
    if seen is not None and not seen.is_same(now):
        raise ChangedSince(seen, now)


def refuse_moved(seen: Preview | None, moved: int) -> None:
    """The same after a change in its transaction, which is rolled back if it moved other events."""
    if seen is not None and seen.events != moved:
        raise ChangedSince(seen, replace(seen, events=moved, streams=moved))

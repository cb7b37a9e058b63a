"""Publish events of the outbox table again.

Invariant: a replay only clears `published_at`. The owners of the lanes publish these events in
order, like any others. An event that has had its effect is a duplicate to the inbox, so replaying
too much does no harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from outbox.log import operator_queries as outbox_sql
from outbox.operations.database import Connection, fetch, value
from outbox.postgres.notify import rescan

BATCH = 5_000


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events to replay. A condition of None does not limit. `aggregate` is (type, id)."""

    since: datetime | None = None
    until: datetime | None = None
    aggregate: tuple[str, str] | None = None
    type: str | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no condition was given, which is rarely meant."""
        return self.since is None and self.aggregate is None and self.type is None

    def where(self) -> tuple[str, dict[str, object]]:
        """The SQL condition on published events, and its parameters."""
        conditions, parameters = ["published_at IS NOT NULL"], dict[str, object]()
        if self.since is not None:
            conditions.append("created_at >= %(since)s")
            parameters["since"] = self.since
        if self.until is not None:
            conditions.append("created_at < %(until)s")
            parameters["until"] = self.until
        if self.aggregate is not None:
            conditions.append("aggregate_type = %(kind)s AND aggregate_id = %(id)s")
            parameters["kind"], parameters["id"] = self.aggregate
        if self.type is not None:
            conditions.append("type = %(type)s")
            parameters["type"] = self.type
        return " AND ".join(conditions), parameters


@dataclass(frozen=True, slots=True)
class Replayable:
    """Published events of one type that a replay would publish again."""

    type: str
    events: int
    aggregates: int
    oldest: datetime
    newest: datetime


async def replayable(connection: Connection, selection: Selection) -> list[Replayable]:
    """The events that `replay` would publish again, by type."""
    where, parameters = selection.where()
    return await fetch(
        connection, Replayable, outbox_sql.REPLAYABLE.format(where=where), parameters
    )


async def history_from(connection: Connection) -> datetime | None:
    """The time of the oldest event in the table; older ones cannot be replayed."""
    found: datetime | None = await value(connection, outbox_sql.HISTORY_FROM)
    return found


async def replay(connection: Connection, selection: Selection, *, batch: int = BATCH) -> int:
    """Have the chosen events published again; returns how many.

    Each batch is one transaction, in order of id. Events published after the start are left alone.
    A replay that was interrupted has done a part, and can be run again.
    """
    if selection.until is None:
        now: datetime = await value(connection, "SELECT clock_timestamp()")
        selection = Selection(selection.since, now, selection.aggregate, selection.type)
    where, parameters = selection.where()
    statement = outbox_sql.REPLAY.format(where=where)
    after, replayed = 0, 0
    while True:
        cursor = await connection.execute(
            statement, {**parameters, "after": after, "limit": batch}, prepare=False
        )
        last, cleared = await cursor.fetchone() or (None, 0)
        if last is None:
            return replayed
        await rescan(connection)
        after, replayed = last, replayed + cleared

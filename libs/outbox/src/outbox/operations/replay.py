"""Publish events of the outbox table again.

Invariant: a replay only clears `published_at`. The owners of the lanes publish these events in
order, like any others. An event that has had its effect is a duplicate to the inbox, so replaying
too much does no harm.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime

from outbox.errors import InvalidSetting
from outbox.log import operator_queries as outbox_sql
from outbox.operations.database import Connection, fetch, now, value
from outbox.postgres.notify import rescan

BATCH = 5_000
SLOWEST = 0.1
"""Events a second: a replay that is slower would hold its lock for ever."""
Progress = Callable[[int], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events to replay. A condition of None does not limit. `aggregate` is (type, id).

    `since` and `until` are of the commit. `published_by` leaves out what was still under way then.
    """

    since: datetime | None = None
    until: datetime | None = None
    aggregate: tuple[str, str] | None = None
    type: str | None = None
    published_by: datetime | None = None

    @property
    def is_everything(self) -> bool:
        """Whether no condition was given, which is rarely meant."""
        return self.since is None and self.aggregate is None and self.type is None

    def where(self) -> tuple[str, dict[str, object]]:
        """The SQL condition on published events, and its parameters."""
        conditions, parameters = ["published_at IS NOT NULL"], dict[str, object]()
        if self.published_by is not None:
            conditions.append("published_at <= %(published_by)s")
            parameters["published_by"] = self.published_by
        if self.since is not None:
            conditions.append("created_at >= %(since)s")
            parameters["since"] = self.since
        if self.until is not None:
            conditions.append("created_at < %(until)s")
            parameters["until"] = self.until
        if self.aggregate is not None:
            conditions.append(outbox_sql.OF_AGGREGATE)
            parameters["kind"], parameters["id"] = self.aggregate
        if self.type is not None:
            conditions.append("type = %(type)s")
            parameters["type"] = self.type
        return " AND ".join(conditions), parameters

    def __str__(self) -> str:
        said = {
            "since": self.since and self.since.isoformat(),
            "until": self.until and self.until.isoformat(),
            "aggregate": self.aggregate and "/".join(self.aggregate),
            "type": self.type,
        }
        return ", ".join(f"{name} {given}" for name, given in said.items() if given)


@dataclass(frozen=True, slots=True)
class Replayable:
    """Published events of one type, or of all, that a replay would publish again."""

    type: str | None
    events: int
    aggregates: int
    oldest: datetime | None
    newest: datetime | None
    digest: str | None


async def replayable(
    connection: Connection, selection: Selection, *, counted_to: int | None = None
) -> list[Replayable]:
    """The events that `replay` would publish again: all of them first, then by type.

    Not more than are to be counted.
    """
    where, parameters = selection.where()
    parameters["counted_to"] = counted_to
    return await fetch(
        connection, Replayable, outbox_sql.REPLAYABLE.format(where=where), parameters
    )


async def history_from(connection: Connection) -> datetime | None:
    """The time of the oldest event in the table; older ones cannot be replayed."""
    found: datetime | None = await value(connection, outbox_sql.HISTORY_FROM)
    return found


async def replay(
    connection: Connection,
    selection: Selection,
    *,
    batch: int = BATCH,
    per_second: float | None = None,
    progress: Progress | None = None,
) -> int:
    """Have the chosen events published again, at most so many a second; returns how many.

    Each batch is one transaction, in order of id. Events published after the start are left alone.
    A replay that was interrupted has done a part, and can be run again.
    """
    if per_second is not None and not (per_second >= SLOWEST and math.isfinite(per_second)):
        raise InvalidSetting("per_second", f"has to be at least {SLOWEST}, not {per_second!r}")
    if selection.published_by is None:
        selection = replace(selection, published_by=await now(connection))
    batch = batch if per_second is None else max(1, min(batch, int(per_second)))
    after, replayed = 0, 0
    while True:
        last, cleared = await _replay_batch(connection, selection, after, batch)
        if last is None:
            return replayed
        after, replayed = last, replayed + cleared
        if progress is not None:
            await progress(replayed)
        if per_second is not None:
            await asyncio.sleep(cleared / per_second)


async def _replay_batch(
    connection: Connection, selection: Selection, after: int, batch: int
) -> tuple[int | None, int]:
    """Replay the next events beyond an id; returns the last id, None at the end, and how many."""
    where, parameters = selection.where()
    cursor = await connection.execute(
        outbox_sql.REPLAY.format(where=where),
        {**parameters, "after": after, "limit": batch},
        prepare=False,
    )
    last, cleared = await cursor.fetchone() or (None, 0)
    if last is not None:
        await rescan(connection)
    return last, cleared

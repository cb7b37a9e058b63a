"""Replays: publish events of the outbox table again, after a count and at a bounded rate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from outbox.errors import InvalidSetting
from outbox.inbox.parked_rows import Preview
from outbox.operations.database import Connection, now
from outbox.operations.operator.record import Record, refuse_changed
from outbox.operations.replay import Replayable, Selection, history_from, replay, replayable

COUNTED_TO = 100_000


@dataclass(frozen=True, slots=True)
class ReplayPreview:
    """What a replay would publish again, by type.

    `is_more` says that counting ended early; then streams are not counted. Events before
    `history_from` are gone.
    """

    total: Preview
    types: list[Replayable]
    is_more: bool
    history_from: datetime | None


@dataclass(frozen=True, slots=True)
class Replays:
    """Replays of one outbox table."""

    connection: Connection
    record: Record

    async def preview(
        self, selection: Selection, *, counted_to: int | None = COUNTED_TO
    ) -> ReplayPreview:
        """Count what a replay would publish again, by type."""
        if selection.is_everything:
            raise InvalidSetting("selection", "needs a time, an aggregate or a type")
        at = await now(self.connection)
        chosen = selection if selection.published_by else replace(selection, published_by=at)
        found, *types = await replayable(self.connection, chosen, counted_to=counted_to)
        is_more = counted_to is not None and found.events >= counted_to
        # Which of them were counted first is chance.
        digest = "" if is_more else found.digest or ""
        total = Preview(found.events, 0 if is_more else found.aggregates, 0, at, digest)
        return ReplayPreview(total, types, is_more, await history_from(self.connection))

    async def run(
        self,
        selection: Selection,
        *,
        seen: Preview | None = None,
        per_second: float | None = None,
        counted_to: int | None = COUNTED_TO,
        note: str = "",
    ) -> int:
        """Publish the selected events again, at most so many a second; returns how many.

        With `seen`, those that were published by then.
        """
        if selection.is_everything:
            raise InvalidSetting("selection", "needs a time, an aggregate or a type")
        async with self.record.change("replay", "outbox", note=note) as change:
            if seen is not None:
                selection = replace(selection, published_by=seen.at)
                found = await self.preview(selection, counted_to=counted_to)
                refuse_changed(seen, found.total)
            change.detail = str(selection)
            change.events = await replay(
                self.connection, selection, per_second=per_second, progress=change.progress
            )
        return change.events

"""Events of the outbox table that cannot be published: parked, or without a queue.

An event is parked because the broker refused it; a redrive publishes it as it is. A discard
replaces events by tombstones. Their bodies are lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from outbox.inbox.parked_rows import Preview
from outbox.log import operator_queries as sql
from outbox.log.row import StoredEvent
from outbox.operations import unpublished
from outbox.operations.database import Connection, fetch
from outbox.operations.operator.record import Record, refuse_changed, refuse_moved
from outbox.operations.pages import Page, key_of

SEARCHED = 100_000
"""So many unpublished events of a page's beginning are searched for those that failed."""


@dataclass(frozen=True, slots=True)
class AgeGroup:
    """Unpublished events of about one age."""

    name: str
    events: int
    oldest: datetime


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The events that cannot be published, of one database."""

    connection: Connection
    record: Record

    async def list(self, *, limit: int = 100, after: str | None = None) -> Page[StoredEvent]:
        """Parked and returned events, the oldest first."""
        [last] = key_of(after, int) if after else [0]
        values = {"after": last, "limit": limit + 1, "searched": SEARCHED}
        cursor = await self.connection.execute(sql.FAILED_EVENTS, values, prepare=False)
        found = [(id_, StoredEvent(*row)) for id_, *row in await cursor.fetchall()]
        page = Page.of(found, limit, lambda one: [one[0]])
        return Page([event for _, event in page.items], page.next)

    async def of(self, ids: Sequence[UUID] | None, *, returned: bool) -> Sequence[StoredEvent]:
        """Parked events, and returned ones if asked for: all of them, or those with these ids."""
        which = unpublished.list_discardable if returned else unpublished.list_parked
        return await which(self.connection, ids)

    async def ages(self) -> Sequence[AgeGroup]:
        """What waits to be published, by age, the oldest first; counted to `SEARCHED`."""
        return await fetch(self.connection, AgeGroup, sql.UNPUBLISHED_BY_AGE, {"limit": SEARCHED})

    async def preview_redrive(self, ids: Sequence[UUID]) -> Preview:
        """How many of these events are parked."""
        return await self._preview(sql.PARKED, ids)

    async def redrive(
        self, ids: Sequence[UUID], *, seen: Preview | None = None, note: str = ""
    ) -> Sequence[UUID]:
        """Have parked events published as they are; returns their ids."""
        async with self.record.change(
            "redrive unpublished", "outbox", note=note, one_transaction=True
        ) as change:
            if seen is not None:
                refuse_changed(seen, await self.preview_redrive(ids))
            changed = await unpublished.redrive(self.connection, ids)
            refuse_moved(seen, len(changed))
            change.events, change.detail = len(changed), _named(changed)
        return changed

    async def preview_discard(self, ids: Sequence[UUID]) -> Preview:
        """How many of these events are parked, or were returned."""
        return await self._preview(sql.DISCARDABLE, ids)

    async def discard(
        self, ids: Sequence[UUID], *, seen: Preview | None = None, note: str = ""
    ) -> Sequence[UUID]:
        """Replace events by tombstones; returns their ids. The bodies are lost."""
        async with self.record.change(
            "discard unpublished", "outbox", note=note, one_transaction=True
        ) as change:
            if seen is not None:
                refuse_changed(seen, await self.preview_discard(ids))
            changed = await unpublished.discard(self.connection, ids)
            refuse_moved(seen, len(changed))
            change.events, change.detail = len(changed), _named(changed)
        return changed

    async def _preview(self, which: str, ids: Sequence[UUID]) -> Preview:
        query = sql.FAILED_PREVIEW.format(which=which)
        [found] = await fetch(self.connection, Preview, query, {"ids": [*ids]})
        return found


def _named(ids: Sequence[UUID]) -> str:
    return f"events {' '.join(map(str, ids[:10]))}{' …' if len(ids) > 10 else ''}"

"""Jobs: calls to other systems that wait or failed; redrive or discard them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from outbox import jobs
from outbox.errors import NotThere
from outbox.inbox.parked_rows import Preview
from outbox.jobs import Job, JobCount, store
from outbox.operations.database import Connection, fetch
from outbox.operations.operator.record import Record, refuse_changed, refuse_moved
from outbox.operations.pages import Page, key_of


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of one database."""

    connection: Connection
    record: Record

    async def counts(self) -> Sequence[JobCount]:
        """How many jobs wait, have failed and were discarded, by kind."""
        return await jobs.count_jobs(self.connection)

    async def list(
        self,
        *,
        kind: str | None = None,
        state: str | None = None,
        key: str | None = None,
        limit: int = 100,
        after: str | None = None,
    ) -> Page[Job]:
        """Jobs, the oldest first; `state` is waiting, done, failed or discarded."""
        [last] = key_of(after, int) if after else [0]
        found = await jobs.list_jobs(
            self.connection, kind=kind, state=state, key=key, limit=limit + 1, after=last
        )
        return Page.of(found, limit, lambda job: [job.id])

    async def preview_redrive(self, *, kind: str | None = None, key: str | None = None) -> Preview:
        """How many jobs a redrive would try now."""
        return await self._preview(store.REDRIVEN, kind, key)

    async def redrive(
        self,
        *,
        kind: str | None = None,
        key: str | None = None,
        seen: Preview | None = None,
        note: str = "",
    ) -> int:
        """Try failed jobs, and those between two attempts, now; returns how many."""
        async with self.record.change(
            "redrive jobs", _target(kind, key), note=note, one_transaction=True
        ) as change:
            if seen is not None:
                refuse_changed(seen, await self.preview_redrive(kind=kind, key=key))
            change.events = await jobs.redrive(self.connection, kind=kind, key=key)
            refuse_moved(seen, change.events)
        return change.events

    async def preview_discard(self, kind: str, key: str) -> Preview:
        """Whether this job can be discarded."""
        return await self._preview(store.DISCARDABLE, kind, key)

    async def discard(
        self, kind: str, key: str, *, seen: Preview | None = None, note: str = ""
    ) -> None:
        """Give up a job for ever. Raises `NotThere` if it has ended, or if its call is made now."""
        async with self.record.change(
            "discard jobs", _target(kind, key), note=note, one_transaction=True
        ) as change:
            if seen is not None:
                refuse_changed(seen, await self.preview_discard(kind, key))
            if not await jobs.discard(self.connection, kind, key):
                ended = "is done, was discarded before, or is being called now"
                raise NotThere(f"{kind} {key} {ended}")
            change.events = 1

    async def _preview(self, which: str, kind: str | None, key: str | None) -> Preview:
        query = store.PREVIEW.format(which=which)
        [found] = await fetch(self.connection, Preview, query, {"kind": kind, "key": key})
        return found


def _target(kind: str | None, key: str | None) -> str:
    return " ".join(part for part in (kind or "all kinds", key) if part)

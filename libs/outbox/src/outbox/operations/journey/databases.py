"""One service's database as a journey asks it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from outbox.event import Stream
from outbox.jobs import journey_queries as jobs_sql
from outbox.jobs.journey_queries import CausedJob
from outbox.log import journey_queries as outbox_sql
from outbox.log.journey_queries import WrittenEvent
from outbox.log.row import bucket_of
from outbox.operations.database import Connection, Row, fetch, value
from outbox.operations.journey.found import ExpectedEvent, JourneyJob
from outbox.operations.journey.naming import Moment, Named, around, merged

LAST = 100
"""At most so many events of one stream belong to a journey: the last ones."""
AT_ONCE = 500
"""At most so many rows come from one statement."""

_TABLES = """
SELECT array_agg(name) FROM unnest(ARRAY['outbox', 'inbox', 'outbox_jobs']) AS name
 WHERE to_regclass(name) IS NOT NULL
"""


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How far a stream has come at its producer."""

    source: str
    aggregate_type: str
    aggregate_id: str
    last: int

    @property
    def stream(self) -> Stream:
        return Stream(self.source, self.aggregate_type, self.aggregate_id)


@dataclass(frozen=True, slots=True)
class Scheduled:
    """A row of `outbox_scheduled`, without its body."""

    source: str
    key: str
    due_at: datetime
    event_id: UUID
    aggregate_type: str
    aggregate_id: str
    type: str


@dataclass(frozen=True, slots=True)
class JourneyDatabase:
    """A database under the name of its service, and which tables of the library it has."""

    name: str
    connection: Connection
    tables: frozenset[str]

    @classmethod
    async def all(cls, databases: Mapping[str, Connection]) -> Sequence[JourneyDatabase]:
        """Ask each for its tables."""
        return [
            cls(name, connection, frozenset(await value(connection, _TABLES) or ()))
            for name, connection in databases.items()
        ]

    async def events_of(self, aggregates: Iterable[str]) -> Sequence[WrittenEvent]:
        """The last events of all streams of these aggregates."""
        ends = await self._ask(StreamEnd, "outbox", outbox_sql.STREAMS, {"ids": [*aggregates]})
        if not ends:
            return ()
        parameters = {
            "sources": [end.source for end in ends],
            "types": [end.aggregate_type for end in ends],
            "ids": [end.aggregate_id for end in ends],
            "firsts": [max(end.last - LAST + 1, 1) for end in ends],
            "lasts": [end.last for end in ends],
            "buckets": [bucket_of(end.aggregate_type, end.aggregate_id) for end in ends],
        }
        return await self._ask(WrittenEvent, "outbox", outbox_sql.OF_STREAMS, parameters)

    async def named(self, named: Named, *, everywhere: bool = False) -> Sequence[WrittenEvent]:
        """Events with the id, or with the correlation id or the trace, that a text names.

        Those that were written when the id was drawn, else among the newest; `everywhere` reads
        the whole outbox table if it has to.
        """
        keys = _keys(named.events, named.correlations, named.traces)
        if found := await self.among(named.moments, keys):
            return found
        if not (named.events or named.traces or named.correlations):
            return ()
        found = await self._ask(WrittenEvent, "outbox", outbox_sql.NEWEST, keys)
        if found or not everywhere:
            return found
        return await self._ask(WrittenEvent, "outbox", outbox_sql.EVERYWHERE, keys)

    async def caused_by(
        self, causes: Sequence[UUID], moments: Sequence[Moment]
    ) -> Sequence[WrittenEvent]:
        """Events that handlers of these events emitted, in transactions at these moments."""
        return await self.among(merged(moments), _keys(causes=map(str, causes)))

    async def with_ids(self, ids: Sequence[UUID]) -> Sequence[WrittenEvent]:
        """Events that were written when their ids were drawn."""
        return await self.with_ids_at(ids, merged(around(id_) for id_ in ids))

    async def with_ids_at(
        self, ids: Sequence[UUID], moments: Sequence[Moment]
    ) -> Sequence[WrittenEvent]:
        """Events with these ids that were written at these moments."""
        return await self.among(moments, _keys(ids))

    async def among(
        self, moments: Sequence[Moment], keys: Mapping[str, object]
    ) -> Sequence[WrittenEvent]:
        """The events of some moments that have one of some keys."""
        if not moments:
            return ()
        return await self._ask(
            WrittenEvent, "outbox", outbox_sql.AMONG, {**keys, **_times(moments)}
        )

    async def scheduled(
        self, aggregates: Sequence[str], correlations: Sequence[str], ids: Sequence[UUID]
    ) -> Sequence[ExpectedEvent]:
        """What is not due yet."""
        parameters = {"ids": aggregates, "correlations": correlations, "event_ids": ids}
        found = await self._ask(
            Scheduled, "outbox", outbox_sql.SCHEDULED, {**parameters, "limit": LAST}
        )
        return [
            ExpectedEvent(self.name, one.event_id, one.type, one.aggregate_id, one.key, one.due_at)
            for one in found
        ]

    async def jobs_of(
        self, causes: Sequence[UUID], moments: Sequence[Moment]
    ) -> Sequence[JourneyJob]:
        """Jobs that handlers of these events have added."""
        if not moments:
            return ()
        parameters = {"causes": causes, "limit": AT_ONCE, **_times(merged(moments))}
        found = await self._ask(CausedJob, "outbox_jobs", jobs_sql.CAUSED, parameters)
        return [JourneyJob(self.name, job) for job in found]

    async def streams_beginning(self, text: str, *, limit: int) -> Sequence[StreamEnd]:
        """Streams of aggregates whose id begins with a text."""
        parameters = {"text": text, "limit": limit}
        return await self._ask(StreamEnd, "outbox", outbox_sql.BEGINNING_WITH, parameters)

    async def ask_inbox(
        self, kind: type[Row], query: str, parameters: Mapping[str, object]
    ) -> Sequence[Row]:
        """Rows of the inbox, none if there is none."""
        return await self._ask(kind, "inbox", query, parameters)

    async def _ask(
        self, kind: type[Row], table: str, query: str, parameters: Mapping[str, object]
    ) -> Sequence[Row]:
        if table not in self.tables:
            return ()
        return await fetch(self.connection, kind, query, parameters)


def _keys(
    events: Iterable[UUID] = (),
    correlations: Iterable[str] = (),
    traces: Iterable[str] = (),
    *,
    causes: Iterable[str] = (),
) -> dict[str, object]:
    return {
        "ids": [*events],
        "correlations": [*correlations],
        "traces": [*traces],
        "causes": [*causes],
        "limit": AT_ONCE,
    }


def _times(moments: Sequence[Moment]) -> dict[str, object]:
    return {"since": [since for since, _ in moments], "until": [until for _, until in moments]}

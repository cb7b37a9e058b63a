"""Adding events in the caller's own transaction.

Invariant: within an aggregate, ids, sequences and commits have the same order. The stream's counter
row is locked before an id of the outbox table is drawn, and stays locked until the commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import MAXYEAR, MINYEAR, datetime
from typing import Any
from uuid import UUID

import psycopg
from sqlalchemy import MetaData
from uuid_utils.compat import uuid7

from outbox.argument_checks import MAX_SHORT_STRING
from outbox.errors import InvalidEvent
from outbox.event import Envelope, Event
from outbox.log.drivers import Writes, WritesSync, run, run_sync
from outbox.log.event_checks import Parts, check, short
from outbox.log.row import bucket_of
from outbox.log.statements import ROW, ROWS, SCHEDULE, UNSCHEDULE, in_schema
from outbox.log.tables import declare_outbox


class Outbox:
    """The outbox of one source. Declares its tables on the application's MetaData."""

    def __init__(
        self, source: str, metadata: MetaData | None = None, *, parts: Parts | None = None
    ) -> None:
        """`parts` names, by aggregate type, further first words of types in its streams.

        `parts={"restaurant": ["table"]}` lets `table.created` be an event of a restaurant.
        """
        self._parts = dict(parts or {})
        self.source = short("source", source)
        self._schema: str | None = None
        if metadata is not None:
            declare_outbox(metadata)
            self._schema = metadata.schema

    async def add(
        self,
        connection: Writes,
        *events: Event,
        cause: Envelope | None = None,
        traceparent: str | None = None,
    ) -> list[UUID]:
        """Add events in order; the relay publishes them after the commit.

        Returns the new events' ids. `cause` is the event being handled, if there is one; the new
        events inherit its correlation id. Raises `InvalidEvent` for an event that could never be
        delivered, and `AutocommitRefused` if there would be no transaction.
        """
        if not events:
            return []
        tail, parameters = self.rows(*events, cause=cause, traceparent=traceparent)
        await run(connection, f"WITH {tail} SELECT 1", parameters)
        return _ids(parameters)

    def add_sync(
        self,
        connection: WritesSync,
        *events: Event,
        cause: Envelope | None = None,
        traceparent: str | None = None,
    ) -> list[UUID]:
        """The same for a synchronous connection or session."""
        if not events:
            return []
        tail, parameters = self.rows(*events, cause=cause, traceparent=traceparent)
        run_sync(connection, f"WITH {tail} SELECT 1", parameters)
        return _ids(parameters)

    def rows(
        self,
        *events: Event,
        cause: Envelope | None = None,
        traceparent: str | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """The same as the tail of a larger statement: WITH queries and their parameters.

        It makes a write and its events one round trip: `WITH placed AS (INSERT …), {tail}
        SELECT …`, run by `exec_driver_sql`.
        """
        ids = [uuid7() for _ in events]
        parameters = self._parameters(ids, events, cause, traceparent)
        one = len(events) == 1
        statement = in_schema(self._schema, ROW if one else ROWS)
        return (statement, _single(parameters)) if one else (statement, parameters)

    async def schedule(
        self,
        connection: Writes,
        event: Event,
        *,
        key: str,
        at: datetime,
        cause: Envelope | None = None,
        traceparent: str | None = None,
    ) -> UUID:
        """Add an event when its time comes. The same key again replaces it.

        The event gets its sequence at that time, not now.
        """
        statement, parameters = self.scheduled(
            event, key=key, at=at, cause=cause, traceparent=traceparent
        )
        await run(connection, statement, parameters)
        return _ids(parameters)[0]

    def scheduled(
        self,
        event: Event,
        *,
        key: str,
        at: datetime,
        cause: Envelope | None = None,
        traceparent: str | None = None,
    ) -> tuple[str, dict[str, Any]]:
        """The statement that schedules an event, and its parameters."""
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise InvalidEvent("at", "has to be a datetime with a time zone")
        if not MINYEAR < at.year < MAXYEAR:
            raise InvalidEvent("at", f"has to be a time between the years {MINYEAR} and {MAXYEAR}")
        row = _single(self._parameters([uuid7()], [event], cause, traceparent))
        statement = in_schema(self._schema, SCHEDULE)
        return statement, {**row, "key": short("key", key), "due_at": at}

    async def unschedule(self, connection: Writes, *keys: str) -> frozenset[str]:
        """Remove scheduled events, by one statement.

        Returns the keys of those that were removed: without a key there was no event, or it has
        been moved already.

        Call it before adding events of the same aggregate: the relay, which moves due events, locks
        the scheduled row first and the stream second.
        """
        statement = in_schema(self._schema, UNSCHEDULE)
        given = {"outbox_source": self.source, "keys": list(keys)}
        deleted = await run(connection, statement, given)
        if isinstance(deleted, psycopg.AsyncCursor):
            return frozenset(key for (key,) in await deleted.fetchall())
        return frozenset(key for (key,) in deleted)

    def _parameters(
        self,
        ids: Sequence[UUID],
        events: Sequence[Event],
        cause: Envelope | None,
        traceparent: str | None,
    ) -> dict[str, Any]:
        checked = [check(event, self._parts) for event in events]
        cause_id = str(cause.id) if cause else None
        trace = _trace(traceparent or (cause.traceparent if cause else None))
        return {
            "outbox_source": self.source,
            "outbox_event_id": ids,
            "outbox_aggregate_type": [event.aggregate_type for event in checked],
            "outbox_aggregate_id": [event.aggregate_id for event in checked],
            "outbox_bucket": [
                bucket_of(event.aggregate_type, event.aggregate_id) for event in checked
            ],
            "outbox_type": [event.type for event in checked],
            "outbox_version": [event.version for event in checked],
            "outbox_payload": [event.payload for event in checked],
            "outbox_correlation_id": [
                short("correlation_id", cause.correlation_id) if cause else str(id_) for id_ in ids
            ],
            "outbox_causation_id": [cause_id] * len(ids),
            "outbox_traceparent": [trace] * len(ids),
        }


def _single(columns: dict[str, Any]) -> dict[str, Any]:
    """The parameters of the only row."""
    return {name: value[0] if isinstance(value, list) else value for name, value in columns.items()}


def _ids(parameters: dict[str, Any]) -> list[UUID]:
    ids = parameters["outbox_event_id"]
    return ids if isinstance(ids, list) else [ids]


def _trace(traceparent: str | None) -> str | None:
    """Drop a malformed header: one that fills a frame would close the relay's connection."""
    if traceparent is None or "\0" in traceparent or len(traceparent) > MAX_SHORT_STRING:
        return None
    return traceparent

"""The table `inbox_applied`: when events were received, handled and applied.

Invariant: a transaction stores the times of what it applies, in one row, with its commit. So a
duplicate changes nothing, and what was rolled back has no times. Times never stop a consumer:
without a partition for today they are not stored.

An event that was parked has a row of its own with its failed attempts, which are found nowhere
else once it has taken effect.
"""

from __future__ import annotations

import time
from operator import attrgetter

from sqlalchemy import (
    ARRAY,
    REAL,
    Column,
    DateTime,
    Index,
    MetaData,
    Table,
    Text,
    Uuid,
    text,
)

from outbox.event import Envelope
from outbox.log.deferred import Statement
from outbox.postgres.array_literals import plain_array
from outbox.postgres.day_partitions import INBOX_APPLIED
from outbox.postgres.table_details import comment, completed_by
from outbox.rabbitmq.cloudevents import UNKNOWN_TIME

# A missing partition would be an error, and the batch would count as failed.
_HAS_TODAY = """
to_regclass('inbox_applied_p' || to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD'))
IS NOT NULL
"""
_STORE = f"""
INSERT INTO inbox_applied (consumer, event_ids, waited, oldest_at, began_at, applied_at)
SELECT %(consumer)s, %(event_ids)s::uuid[], %(waited)s::real[], %(oldest_at)s::timestamptz,
       now(), statement_timestamp()
 WHERE {_HAS_TODAY}
"""

STORE_PARKED = f"""
INSERT INTO inbox_applied (consumer, event_ids, oldest_at, began_at, applied_at, parked_at,
                           failed_at, failed_with, last_error)
SELECT consumer, ARRAY[event_id], nullif(time, 'epoch'), now(), statement_timestamp(), parked_at,
       failed_at, failed_with, last_error
  FROM removed WHERE reason <> 'discarded' AND {_HAS_TODAY}
"""  # noqa: S608
"""Stores the times of `removed` rows of `inbox_parked`, which have taken effect."""


def declare_applied(metadata: MetaData) -> None:
    """Declare the table."""
    applied = Table(
        "inbox_applied",
        metadata,
        Column("consumer", Text, nullable=False),
        # The oldest event first. `waited` are the seconds from an event's receipt to `began_at`.
        Column("event_ids", ARRAY(Uuid), nullable=False),
        Column("waited", ARRAY(REAL)),
        # The time of the oldest event, by its producer's clock.
        Column("oldest_at", DateTime(True)),
        # When the transaction began, and when it was about to commit.
        Column("began_at", DateTime(True), nullable=False),
        Column("applied_at", DateTime(True), nullable=False),
        # Of an event that was parked.
        Column("parked_at", DateTime(True)),
        Column("failed_at", ARRAY(DateTime(True))),
        Column("failed_with", ARRAY(Text)),
        Column("last_error", Text),
        postgresql_partition_by="RANGE (applied_at)",
        comment=comment(),
    )
    # An event takes effect soon after it was published, so its row is found by the time.
    Index("inbox_applied_time", applied.c.applied_at)
    # What was parked takes effect at any later time. Few rows are in this index.
    Index(
        "inbox_applied_parked",
        applied.c.event_ids,
        postgresql_using="gin",
        postgresql_where=text("parked_at IS NOT NULL"),
    )


completed_by("inbox_applied", INBOX_APPLIED.first_days)


class AppliedTimes:
    """The events that one transaction applies. It begins now."""

    def __init__(self, consumer: str) -> None:
        self._consumer = consumer
        self._began = time.monotonic()
        self._events: list[Envelope] = []

    def add(self, event: Envelope) -> None:
        """The event was not parked, and takes effect."""
        self._events.append(event)

    def storing(self) -> list[Statement]:
        """The statement that stores the times, if there are any; the commit follows it."""
        if not self._events:
            return []
        known = [event for event in self._events if event.time != UNKNOWN_TIME]
        oldest = min(known or self._events, key=attrgetter("time"))
        events = [oldest, *(event for event in self._events if event is not oldest)]
        # On the path of every event: of all forms of a UUID these digits cost the least.
        values = {
            "consumer": self._consumer,
            "event_ids": plain_array(f"{event.id.int:032x}" for event in events),
            "waited": plain_array(map(self._waited, events)),
            "oldest_at": oldest.time if known else None,
        }
        return [(_STORE, values)]

    def _waited(self, event: Envelope) -> str | None:
        """Seconds; None if the event did not come from a queue."""
        return None if event.received is None else f"{self._began - event.received:.6f}"

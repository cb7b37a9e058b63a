"""The tables of the outbox, declared on the MetaData of the application.

The library's own SQL names these tables (`statements`, `relay_queries`, `operator_queries`), so
their names are fixed. The search path leads to them.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

from outbox.postgres.controls import OUTBOX_CONTROLS
from outbox.postgres.day_partitions import OUTBOX
from outbox.postgres.operations_log import declare_operations_log
from outbox.postgres.table_details import (
    DEFAULT_LANES,
    comment,
    completed_by,
    room_for_updates,
)
from outbox.postgres.table_groups import TableGroup

STEPS: tuple[tuple[str, ...], ...] = ()
"""From version 1 to 2, from 2 to 3 and so on. See `outbox.postgres.table_groups`."""
VERSION = 1 + len(STEPS)
_NOW = text("clock_timestamp()")


def _stream_key(*, primary_key: bool) -> list[Column[str]]:
    names = ("source", "aggregate_type", "aggregate_id")
    return [Column(name, Text, primary_key=primary_key, nullable=False) for name in names]


def declare_outbox(metadata: MetaData) -> None:
    """Declare `outbox` and the tables that begin with `outbox_`, but for jobs."""
    OUTBOX_CONTROLS.declare(metadata)
    declare_operations_log(metadata)
    _declare_events(metadata)
    _declare_scheduled(metadata)
    Table(
        "outbox_streams",
        metadata,
        *_stream_key(primary_key=True),
        Column("last", BigInteger, nullable=False),
        comment=comment(),
    )
    # How far the beacons have come, by what each of them is about.
    Table(
        "outbox_beacons",
        metadata,
        Column("source", Text, primary_key=True),
        Column("aggregate_type", Text, primary_key=True),
        Column("number", BigInteger, nullable=False),
        Column("until", DateTime(True), nullable=False),
        # A consumer has lost beacons: what was published from here to `until` is told once more.
        Column("asked_since", DateTime(True)),
        comment=comment(),
    )
    Table(
        "outbox_settings",
        metadata,
        Column("single", Boolean, primary_key=True, server_default=text("true")),
        Column("lanes", SmallInteger, nullable=False),
        CheckConstraint("single", name="outbox_settings_one_row"),
        CheckConstraint("lanes BETWEEN 1 AND 1024", name="outbox_settings_lanes"),
        comment=comment(),
    )


def _declare_events(metadata: MetaData) -> None:
    outbox = Table(
        "outbox",
        metadata,
        Column("id", BigInteger, Identity(), primary_key=True),
        Column("created_at", DateTime(True), primary_key=True, server_default=_NOW),
        Column("event_id", Uuid, nullable=False),
        Column("bucket", SmallInteger, nullable=False),
        *_stream_key(primary_key=False),
        Column("sequence", BigInteger, nullable=False),
        Column("type", Text, nullable=False),
        Column("version", SmallInteger, nullable=False),
        # `json`, not `jsonb`: the bytes go out as they came in, and SQL can still read them.
        Column("payload", JSON, nullable=False),  # see decision 0001
        Column("correlation_id", Text, nullable=False),
        Column("causation_id", Text),
        Column("traceparent", Text),
        Column("published_at", DateTime(True)),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("last_error", Text),
        Column("parked_at", DateTime(True)),
        postgresql_partition_by="RANGE (created_at)",
        comment=comment(VERSION),
    )
    _declare_indexes(outbox)


def _declare_indexes(outbox: Table) -> None:
    # Serves the relay's fetch (unpublished rows of its lanes above the watermark) and the marking
    # of a window. It is as small as the backlog, because published rows leave it.
    Index(
        "outbox_unpublished",
        outbox.c.id,
        outbox.c.bucket,
        postgresql_where=text("published_at IS NULL"),
    )
    # Serves the beacons: what was published since a time. A row enters it when it is marked, so
    # adding events does not pay for it.
    Index(
        "outbox_published",
        outbox.c.published_at,
        postgresql_where=text("published_at IS NOT NULL"),
    )
    # Serves requests for events: some sequences of some streams. The same holds. A hash, because
    # entries that compare texts cost twice as much (decision 1804).
    Index(
        "outbox_published_events",
        func.hashtextextended(outbox.c.aggregate_id, outbox.c.sequence),
        postgresql_using="hash",
        postgresql_where=text("published_at IS NOT NULL"),
    )


def _declare_scheduled(metadata: MetaData) -> None:
    scheduled = Table(
        "outbox_scheduled",
        metadata,
        Column("source", Text, primary_key=True),
        Column("key", Text, primary_key=True),
        Column("due_at", DateTime(True), nullable=False),
        Column("event_id", Uuid, nullable=False),
        Column("bucket", SmallInteger, nullable=False),
        Column("aggregate_type", Text, nullable=False),
        Column("aggregate_id", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("version", SmallInteger, nullable=False),
        Column("payload", JSON, nullable=False),
        Column("correlation_id", Text, nullable=False),
        Column("causation_id", Text),
        Column("traceparent", Text),
    )
    # The relay asks which events are due, and when the next one is.
    Index("outbox_scheduled_due", scheduled.c.due_at)


completed_by("outbox", OUTBOX.first_days)
completed_by("outbox_streams", room_for_updates)
completed_by(
    "outbox_settings",
    lambda name: f"INSERT INTO {name} (lanes) VALUES ({DEFAULT_LANES})",  # noqa: S608
)

OUTBOX_TABLES = TableGroup("outbox", "outbox", declare_outbox, STEPS)

"""The consumer's tables, declared on the MetaData of the application that uses it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import INT8MULTIRANGE

from outbox.inbox.applied_times import declare_applied
from outbox.postgres.controls import INBOX_CONTROLS
from outbox.postgres.operations_log import declare_operations_log
from outbox.postgres.table_details import comment, completed_by, room_for_updates
from outbox.postgres.table_groups import TableGroup

STEPS: tuple[tuple[str, ...], ...] = ()
"""From version 1 to 2, from 2 to 3 and so on. See `outbox.postgres.table_groups`."""
VERSION = 1 + len(STEPS)
_NOW = text("clock_timestamp()")


def declare_inbox(metadata: MetaData) -> None:
    """Declare all that a consumer needs: `inbox` and the tables that begin with `inbox_`."""
    Table(
        "inbox",
        metadata,
        Column("consumer", Text, primary_key=True),
        *_stream_key(),
        Column("last_sequence", BigInteger, nullable=False, server_default="0"),
        Column("last_event_id", Uuid),
        # Set while an event of the stream waits for its retry: what follows waits behind it.
        Column("blocked", Boolean, nullable=False, server_default=text("false")),
        Column("parked", Integer, nullable=False, server_default="0"),
        comment=comment(VERSION),
    )
    _declare_parked(metadata)
    _declare_discarded(metadata)
    _declare_attempts(metadata)
    _declare_messages(metadata)
    _declare_tripped(metadata)
    _declare_beacons(metadata)
    _declare_missing(metadata)
    declare_applied(metadata)
    INBOX_CONTROLS.declare(metadata)
    declare_operations_log(metadata)


def _declare_attempts(metadata: MetaData) -> None:
    # Attempts that have begun and not ended: a row that is still here means that a process died.
    Table(
        "inbox_attempts",
        metadata,
        Column("consumer", Text, primary_key=True),
        *_stream_key(),
        Column("sequence", BigInteger, primary_key=True),
        Column("attempts", Integer, nullable=False),
        Column("last_at", DateTime(True), nullable=False, server_default=_NOW),
    )


def _declare_tripped(metadata: MetaData) -> None:
    # Event types that are not handled while a row is here, and when one event is tried.
    Table(
        "inbox_tripped",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("type", Text, primary_key=True),
        Column("cause", Text, nullable=False),
        Column("tripped_at", DateTime(True), nullable=False, server_default=_NOW),
        Column("probes", Integer, nullable=False, server_default="0"),
        Column("next_probe_at", DateTime(True), nullable=False),
    )


def _declare_beacons(metadata: MetaData) -> None:
    # How far the beacons of a source and aggregate type have come.
    Table(
        "inbox_beacons",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("source", Text, primary_key=True),
        Column("aggregate_type", Text, primary_key=True),
        Column("number", BigInteger, nullable=False),
        Column("until", DateTime(True), nullable=False),
        Column("is_whole", Boolean, nullable=False),
        # Set while beacons are lost: what was published since then may be unknown.
        Column("hole_since", DateTime(True)),
        Column("noticed_at", DateTime(True)),
        Column("asks", Integer, nullable=False, server_default="0"),
        Column("next_ask_at", DateTime(True)),
    )


def _declare_missing(metadata: MetaData) -> None:
    # Streams of which events are known and have not arrived.
    Table(
        "inbox_missing",
        metadata,
        Column("consumer", Text, primary_key=True),
        *_stream_key(),
        Column("known_last", BigInteger, nullable=False),
        # The stream's position, and the sequences that were missing, when last compared.
        Column("position", BigInteger, nullable=False),
        Column("missing", INT8MULTIRANGE, nullable=False),
        # Of these: what was asked for and has not arrived, and what its source does not have.
        Column("asked", INT8MULTIRANGE, nullable=False, server_default=text("'{}'")),
        Column("unrecoverable", INT8MULTIRANGE, nullable=False, server_default=text("'{}'")),
        Column("noticed_at", DateTime(True), nullable=False, server_default=_NOW),
        Column("asks", Integer, nullable=False, server_default="0"),
        Column("asked_at", DateTime(True)),
        Column("next_ask_at", DateTime(True), nullable=False),
    )


def _declare_messages(metadata: MetaData) -> None:
    messages = Table(
        "inbox_messages",
        metadata,
        Column("consumer", Text, primary_key=True),
        Column("source", Text, primary_key=True),
        Column("message_id", Text, primary_key=True),
        Column("taken_at", DateTime(True), nullable=False, server_default=_NOW),
    )
    # Housekeeping asks for the oldest.
    Index("inbox_messages_age", messages.c.consumer, messages.c.taken_at)


def _stream_key(*, primary_key: bool = True) -> list[Column[str]]:
    names = ("source", "aggregate_type", "aggregate_id")
    return [Column(name, Text, primary_key=primary_key, nullable=False) for name in names]


def _failures() -> list[Column[Any]]:
    return [
        Column("last_error", Text),
        Column("last_traceback", Text),
        # Class and function of the last error, and what stands for them and the event's type.
        Column("cause", Text),
        Column("fingerprint", Text),
        # Time and class of the first failed attempt and of the last ones.
        Column("failed_at", ARRAY(DateTime(True)), nullable=False, server_default=text("'{}'")),
        Column("failed_with", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    ]


def _declare_parked(metadata: MetaData) -> None:
    parked = Table(
        "inbox_parked",
        metadata,
        Column("consumer", Text, primary_key=True),
        *_stream_key(),
        Column("sequence", BigInteger, primary_key=True),
        Column("event_id", Uuid, primary_key=True),
        Column("reason", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("version", SmallInteger, nullable=False),
        Column("time", DateTime(True), nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("correlation_id", Text, nullable=False),
        Column("causation_id", Text),
        Column("traceparent", Text),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("next_attempt_at", DateTime(True)),
        # Since the first failure after the event came or was redriven, and until when it is
        # retried.
        Column("failing_since", DateTime(True)),
        Column("retried_until", DateTime(True)),
        *_failures(),
        Column("parked_at", DateTime(True), nullable=False, server_default=_NOW),
    )
    # The retrier asks for what is due, and nothing else has a due time.
    Index(
        "inbox_parked_due",
        parked.c.consumer,
        parked.c.next_attempt_at,
        postgresql_where=text("next_attempt_at IS NOT NULL"),
    )
    # The search for missing events asks for gaps that last.
    Index(
        "inbox_parked_gaps",
        parked.c.consumer,
        parked.c.parked_at,
        postgresql_where=text("reason = 'gap'"),
    )


def _declare_discarded(metadata: MetaData) -> None:
    """Declare the record of discarded events and of skipped ranges that never arrived."""
    discarded = Table(
        "inbox_discarded",
        metadata,
        Column("id", BigInteger, Identity(), primary_key=True),
        Column("consumer", Text, nullable=False),
        *_stream_key(primary_key=False),
        Column("first_sequence", BigInteger, nullable=False),
        Column("last_sequence", BigInteger, nullable=False),
        Column("event_id", Uuid),
        Column("reason", Text, nullable=False),
        Column("type", Text),
        Column("body", LargeBinary),
        Column("attempts", Integer, nullable=False, server_default="0"),
        *_failures(),
        Column("parked_at", DateTime(True)),
        Column("note", Text, nullable=False, server_default=""),
        Column("discarded_at", DateTime(True), nullable=False, server_default=_NOW),
    )
    # The journey of an aggregate asks for what was given up of it.
    Index("inbox_discarded_aggregate", discarded.c.aggregate_id)


completed_by("inbox", room_for_updates)

INBOX_TABLES = TableGroup("inbox", "inbox", declare_inbox, STEPS)

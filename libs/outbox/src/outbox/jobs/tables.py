"""The table `outbox_jobs`, declared on the MetaData of the application that uses it."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

from outbox.postgres.operations_log import declare_operations_log
from outbox.postgres.table_details import comment, completed_by, room_for_updates
from outbox.postgres.table_groups import TableGroup

STEPS: tuple[tuple[str, ...], ...] = ()
"""From version 1 to 2, from 2 to 3 and so on. See `outbox.postgres.table_groups`."""
VERSION = 1 + len(STEPS)
_NOW = text("clock_timestamp()")


def declare_jobs(metadata: MetaData) -> None:
    """Declare `outbox_jobs`, and the operations log that all groups share."""
    jobs = Table(
        "outbox_jobs",
        metadata,
        Column("id", BigInteger, Identity(), primary_key=True),
        Column("kind", Text, nullable=False),
        Column("key", Text, nullable=False),
        Column("payload", JSON, nullable=False),
        # waiting, done, failed or discarded; the attempt that works on a waiting job has the lease.
        Column("state", Text, nullable=False, server_default="waiting"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("lease_id", Uuid),
        Column("lease_until", DateTime(True)),
        Column("next_attempt_at", DateTime(True), nullable=False, server_default=_NOW),
        Column("last_error", Text),
        Column("last_traceback", Text),
        Column("correlation_id", Text, nullable=False),
        Column("causation_id", Uuid),
        Column("traceparent", Text),
        Column("created_at", DateTime(True), nullable=False, server_default=_NOW),
        Column("ended_at", DateTime(True)),
        UniqueConstraint("kind", "key", name="outbox_jobs_kind_key"),
        comment=comment(VERSION),
    )
    _index(jobs)
    declare_operations_log(metadata)


def _index(jobs: Table) -> None:
    # Workers ask for due jobs, the longest due first; ended jobs leave the index. It has no kind:
    # behind a list of kinds the time would not order the rows, and a worker knows most kinds.
    Index(
        "outbox_jobs_due",
        jobs.c.next_attempt_at,
        postgresql_where=text("state = 'waiting'"),
    )
    # Jobs that need a person: they are few, and every worker counts all of them.
    Index(
        "outbox_jobs_failed",
        jobs.c.kind,
        postgresql_where=text("state IN ('failed', 'discarded')"),
    )
    # Done jobs are kept for a while, then deleted, the oldest first.
    Index(
        "outbox_jobs_done",
        jobs.c.ended_at,
        postgresql_where=text("state = 'done'"),
    )


completed_by("outbox_jobs", room_for_updates)

JOB_TABLES = TableGroup("jobs", "outbox_jobs", declare_jobs, STEPS)

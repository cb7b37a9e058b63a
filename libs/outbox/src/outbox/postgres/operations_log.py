"""The table `outbox_operations_log`: who changed what, when, from where, and how it ended.

Every group of tables that a database has comes with it, so that any operator can write it. A row
is written before the change begins. Without an end the change is running, or its process died.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from sqlalchemy import BigInteger, Column, DateTime, Identity, MetaData, Table, Text, text

from outbox.postgres.table_details import comment

TABLE = "outbox_operations_log"

Connection = psycopg.AsyncConnection[Any]

BEGIN = f"""
INSERT INTO {TABLE} (actor, via, address, what, target, note)
VALUES (%(actor)s, %(via)s, %(address)s, %(what)s, %(target)s, %(note)s)
RETURNING id
"""  # noqa: S608
"""Writes that a change begins; returns the row's id."""

PROGRESS = f"UPDATE {TABLE} SET events = %(events)s WHERE id = %(id)s"  # noqa: S608
"""How far a long change has come."""

END = f"""
UPDATE {TABLE} SET ended_at = clock_timestamp(), events = %(events)s, outcome = %(outcome)s,
       detail = %(detail)s
 WHERE id = %(id)s
"""  # noqa: S608
"""Writes how the change ended."""

RUNNING = f"""
SELECT actor, via, began_at FROM {TABLE}
 WHERE what = %(what)s AND target = %(target)s AND ended_at IS NULL ORDER BY id DESC LIMIT 1
"""  # noqa: S608
"""Who is at a change now, where its lock is not free."""

HISTORY = f"""
SELECT id, began_at, ended_at, actor, via, address, what, target, note, events, outcome, detail
  FROM {TABLE}
 WHERE id < %(before)s AND (%(actor)s::text IS NULL OR actor = %(actor)s)
   AND (%(what)s::text IS NULL OR what = %(what)s)
 ORDER BY id DESC LIMIT %(limit)s
"""  # noqa: S608
"""Changes below an id, the newest first."""

# Keys of the schema's own, so that two outboxes in one database do not meet.
_KEYS = f"""
hashtext('outbox operations in ' || (SELECT relnamespace::regnamespace FROM pg_class
                                      WHERE oid = to_regclass('{TABLE}'))),
hashtext(%(what)s || ' of ' || %(target)s)
"""  # noqa: S608
LOCK = f"SELECT to_regclass('{TABLE}') IS NOT NULL, pg_try_advisory_lock({_KEYS})"
"""Whether the table is there, and whether nobody else is at this change."""
UNLOCK = f"SELECT pg_advisory_unlock({_KEYS})"


@dataclass(frozen=True, slots=True)
class Operation:
    """One change that a person or a program ordered.

    `outcome` is done, refused or failed, or None while it runs; `detail` says why. `events` is how
    many events, streams or jobs were changed, as far as that was counted.
    """

    id: int
    began_at: datetime
    ended_at: datetime | None
    actor: str
    via: str
    address: str | None
    what: str
    target: str
    note: str
    events: int | None
    outcome: str | None
    detail: str | None


def declare_operations_log(metadata: MetaData) -> None:
    """Declare the table, once on each MetaData."""
    if TABLE in {table.name for table in metadata.tables.values()}:
        return
    now = text("clock_timestamp()")
    Table(
        TABLE,
        metadata,
        Column("id", BigInteger, Identity(), primary_key=True),
        Column("began_at", DateTime(True), nullable=False, server_default=now),
        Column("ended_at", DateTime(True)),
        Column("actor", Text, nullable=False),
        # cli, console or http, and the address of who asked, if it has one.
        Column("via", Text, nullable=False),
        Column("address", Text),
        Column("what", Text, nullable=False),
        Column("target", Text, nullable=False),
        Column("note", Text, nullable=False, server_default=""),
        Column("events", BigInteger),
        Column("outcome", Text),
        Column("detail", Text),
        comment=comment(),
    )

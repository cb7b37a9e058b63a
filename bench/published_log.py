"""A log of a million published events whose index entries are dead, and a session that keeps them.

What hurts is not a long log but this order: inserted unpublished, so that every event has an entry
in the partial index; a snapshot is taken; then they are marked. The old versions are dead, but
somebody could still see them, so that no vacuum removes their index entries, and a look from the
index' beginning walks past a million of them. A transaction that has also written keeps
`pg_snapshot_xmin` back in addition, so that nothing that waits for it can advance.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum

import psycopg

from bench.environment import SOURCE, Environment

# In steps, because one statement of a million rows would be a transaction of its own kind.
_STEP = 100_000
_INSERT = """
INSERT INTO outbox (event_id, bucket, source, aggregate_type, aggregate_id, sequence, type, version,
                    payload, correlation_id)
SELECT gen_random_uuid(), n %% 1024, %(source)s, 'order', 'published-' || n, 1, 'order.created', 1,
       '{"order_id":"00000000-0000-7000-8000-000000000000","user_id":"user_000001"}', n::text
  FROM generate_series(%(first)s::int, %(last)s::int) n
"""
_MARK = "UPDATE outbox SET published_at = clock_timestamp() WHERE published_at IS NULL"


Session = psycopg.Connection[tuple[object, ...]]


class Holder(StrEnum):
    """Who holds a snapshot over the log."""

    NOBODY = "nobody"
    READER = "reader"
    WRITER = "writer"


@asynccontextmanager
async def published_log(environment: Environment, rows: int, holder: Holder) -> AsyncIterator[None]:
    """The log exists during the block, with a snapshot held, or vacuumed if none is held."""
    with psycopg.connect(environment.database_url) as session:
        await asyncio.to_thread(_make, environment, rows, session, holder)
        yield
        session.rollback()


def _make(environment: Environment, rows: int, session: Session, holder: Holder) -> None:
    with environment.connect() as connection:
        for first in range(1, rows + 1, _STEP):
            last = min(first + _STEP - 1, rows)
            connection.execute(_INSERT, {"source": SOURCE, "first": first, "last": last})
        if holder is not Holder.NOBODY:
            _hold(session, holder)
        connection.execute(_MARK)
        connection.execute("VACUUM ANALYZE outbox")


def _hold(session: Session, holder: Holder) -> None:
    session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    session.execute("SELECT count(*) FROM outbox_settings")
    if holder is Holder.WRITER:
        session.execute("UPDATE users SET orders = orders + 1 WHERE id = 1")

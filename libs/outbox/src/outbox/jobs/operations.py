"""What a person can do about jobs: look, redrive, discard.

On the same kind of connection as `outbox.inbox.operations`: psycopg's. Each function is one
statement, a transaction of its own or part of the one that is open.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import class_row

Connection = psycopg.AsyncConnection[Any]

UNDONE = ("waiting", "failed", "discarded")
STATES = (*UNDONE, "done")

_FILTER = """
 WHERE (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(key)s::text IS NULL OR key = %(key)s)
"""

_LIST = f"""
SELECT id, kind, key, state, attempts, lease_until, next_attempt_at, last_error, last_traceback,
       created_at, ended_at, payload, correlation_id, causation_id
  FROM outbox_jobs {_FILTER} AND (%(state)s::text IS NULL OR state = %(state)s)
 ORDER BY id LIMIT %(limit)s OFFSET %(offset)s
"""  # noqa: S608

# Each half by an index of its own: what is done is not read.
_COUNT = """
SELECT *, greatest(extract(epoch FROM clock_timestamp() - since), 0)::float8 AS seconds FROM (
SELECT kind, state, count(*) AS jobs,
       min(next_attempt_at) FILTER (WHERE lease_until IS NULL OR lease_until <= clock_timestamp())
         AS since
  FROM outbox_jobs WHERE state = 'waiting' GROUP BY kind, state
 UNION ALL
SELECT kind, state, count(*), min(ended_at)
  FROM outbox_jobs WHERE state IN ('failed', 'discarded') GROUP BY kind, state
) AS counted ORDER BY kind, state
"""

_REDRIVE = f"""
WITH again AS (
  UPDATE outbox_jobs
     SET state = 'waiting', attempts = 0, next_attempt_at = clock_timestamp(), ended_at = NULL,
         lease_id = NULL, lease_until = NULL
  {_FILTER} AND (state = 'failed' OR (state = 'waiting' AND lease_id IS NULL))
  RETURNING kind
)
SELECT count(*), pg_notify('outbox_jobs', '') FROM again
"""  # noqa: S608

# Not while somebody makes the call: its answer counts.
_DISCARD = """
UPDATE outbox_jobs SET state = 'discarded', ended_at = clock_timestamp(),
       lease_id = NULL, lease_until = NULL
 WHERE kind = %(kind)s AND key = %(key)s
   AND (state = 'failed' OR (state = 'waiting'
        AND (lease_until IS NULL OR lease_until <= clock_timestamp())))
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """A job, as a person wants to see it. `lease_until` is set while somebody makes the call."""

    id: int
    kind: str
    key: str
    state: str
    attempts: int
    lease_until: datetime | None
    next_attempt_at: datetime
    last_error: str | None
    last_traceback: str | None
    created_at: datetime
    ended_at: datetime | None
    payload: Any
    correlation_id: str
    causation_id: UUID | None


@dataclass(frozen=True, slots=True)
class JobCount:
    """Jobs of a kind in a state that is not done.

    `since` is when the first of them was due, or ended, and `seconds` how long ago that was: 0 if
    it is yet to come, or if the call of each that is due is being made (`since` is None then).
    """

    kind: str
    state: str
    jobs: int
    since: datetime | None
    seconds: float


async def count_jobs(connection: Connection) -> list[JobCount]:
    """How many jobs wait, have failed and were discarded, by kind."""
    async with connection.cursor(row_factory=class_row(JobCount)) as cursor:
        await cursor.execute(_COUNT)
        return await cursor.fetchall()


async def list_jobs(
    connection: Connection,
    *,
    kind: str | None = None,
    state: str | None = None,
    key: str | None = None,
    limit: int = 100,
    offset: int = 0,
) -> list[Listed]:
    """Jobs, oldest first; `state` is waiting, done, failed or discarded."""
    parameters = {"kind": kind, "key": key, "state": state, "limit": limit, "offset": offset}
    async with connection.cursor(row_factory=class_row(Listed)) as cursor:
        await cursor.execute(_LIST, parameters)
        return await cursor.fetchall()


async def redrive(
    connection: Connection, *, kind: str | None = None, key: str | None = None
) -> int:
    """Let failed jobs, and those that wait for their next attempt, be tried at once.

    With all attempts before them again, and the same idempotency key. Returns how many.
    """
    cursor = await connection.execute(_REDRIVE, {"kind": kind, "key": key})
    found = await cursor.fetchone()
    return 0 if found is None else int(found[0])


async def discard(connection: Connection, kind: str, key: str) -> bool:
    """Give up a job that has failed or waits; false if there is none, or its call is being made.

    The row stays, with its last error, as `discarded`: for the record, and so that the same key
    of the same kind is never called.
    """
    cursor = await connection.execute(_DISCARD, {"kind": kind, "key": key})
    return await cursor.fetchone() is not None

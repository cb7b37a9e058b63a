"""What a person can do about jobs: look, redrive, discard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

_LIST = """
SELECT id, kind, key, state, attempts, lease_until, next_attempt_at, last_error, created_at,
       ended_at, payload
  FROM outbox_jobs
 WHERE (%(kind)s::text IS NULL OR kind = %(kind)s)
   AND (%(state)s::text IS NULL OR state = %(state)s)
 ORDER BY id LIMIT %(limit)s
"""

_REDRIVE = """
WITH again AS (
  UPDATE outbox_jobs
     SET state = 'waiting', attempts = 0, next_attempt_at = clock_timestamp(), ended_at = NULL
   WHERE (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(key)s::text IS NULL OR key = %(key)s)
     AND (state = 'failed' OR (state = 'waiting' AND lease_id IS NULL))
  RETURNING kind
)
SELECT count(*), pg_notify('outbox_jobs', '') FROM again
"""

_DISCARD = """
UPDATE outbox_jobs SET state = 'discarded', ended_at = clock_timestamp()
 WHERE kind = %(kind)s AND key = %(key)s AND state = 'failed'
RETURNING id
"""


@dataclass(frozen=True, slots=True)
class Listed:
    """A job, as a person wants to see it."""

    id: int
    kind: str
    key: str
    state: str
    attempts: int
    lease_until: datetime | None
    next_attempt_at: datetime
    last_error: str | None
    created_at: datetime
    ended_at: datetime | None
    payload: Any


async def list_jobs(
    connection: AsyncConnection,
    *,
    kind: str | None = None,
    state: str | None = None,
    limit: int = 100,
) -> list[Listed]:
    """Jobs, oldest first; `state` is waiting, done, failed or discarded."""
    parameters = {"kind": kind, "state": state, "limit": limit}
    rows = (await connection.exec_driver_sql(_LIST, parameters)).all()
    return [Listed(*tuple[Any, ...](row)) for row in rows]


async def redrive(
    connection: AsyncConnection, *, kind: str | None = None, key: str | None = None
) -> int:
    """Let failed jobs, and those that wait for their next attempt, be tried at once."""
    parameters = {"kind": kind, "key": key}
    found = (await connection.exec_driver_sql(_REDRIVE, parameters)).first()
    return 0 if found is None else int(found[0])


async def discard(connection: AsyncConnection, kind: str, key: str) -> bool:
    """Give a failed job up; false if there is none."""
    parameters = {"kind": kind, "key": key}
    return (await connection.exec_driver_sql(_DISCARD, parameters)).first() is not None

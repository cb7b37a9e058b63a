"""The statements about jobs. Each is short; none is open while somebody calls.

Fencing: whoever claims a job draws a new lease id, and every later statement of theirs says it.
A worker whose lease was taken over finds no row, and what it would have committed rolls back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.jobs.job import Job, stored
from outbox.tracebacks import storable
from outbox.write.work import UnitOfWork

JOBS = "outbox_jobs"
"""Also the channel on which workers hear of new jobs."""

_ENQUEUE = """
INSERT INTO outbox_jobs (kind, key, payload, next_attempt_at, correlation_id, causation_id,
                         traceparent)
VALUES (%(kind)s, %(key)s, %(payload)s::json, coalesce(%(at)s, clock_timestamp()),
        %(correlation_id)s, %(causation_id)s, %(traceparent)s)
ON CONFLICT (kind, key) DO NOTHING
RETURNING id
"""

# `statement_timestamp()` holds still during the statement: the index ends where nothing is due.
CLAIM = """
UPDATE outbox_jobs j
   SET lease_id = %(lease_id)s, attempts = attempts + 1,
       lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
 WHERE id = (SELECT id FROM outbox_jobs
              WHERE state = 'waiting' AND kind = ANY(%(kinds)s)
                AND next_attempt_at <= statement_timestamp()
                AND (lease_until IS NULL OR lease_until <= statement_timestamp())
              ORDER BY next_attempt_at LIMIT 1
                FOR UPDATE SKIP LOCKED)
RETURNING id, kind, key, payload, attempts, lease_id, correlation_id, causation_id, traceparent
"""

_EXTEND = """
UPDATE outbox_jobs SET lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
 WHERE id = %(id)s AND lease_id = %(lease)s AND state = 'waiting'
RETURNING id
"""

_END = """
UPDATE outbox_jobs
   SET state = 'done', lease_id = NULL, lease_until = NULL, last_error = NULL,
       last_traceback = NULL,
       ended_at = clock_timestamp()
 WHERE id = %(id)s AND lease_id = %(lease)s AND state = 'waiting'
RETURNING id
"""

_RELEASE = """
UPDATE outbox_jobs
   SET lease_id = NULL, lease_until = NULL, last_error = %(error)s,
       last_traceback = %(traceback)s,
       state = CASE WHEN %(delay)s::float8 IS NULL THEN 'failed' ELSE 'waiting' END,
       ended_at = CASE WHEN %(delay)s::float8 IS NULL THEN clock_timestamp() END,
       next_attempt_at = clock_timestamp() + make_interval(secs => coalesce(%(delay)s, 0))
 WHERE id = %(id)s AND lease_id = %(lease)s AND state = 'waiting'
RETURNING id
"""

# The first that nobody has, or whose lease ends first: who has one was due.
NEXT = """
SELECT extract(epoch FROM least(
  (SELECT next_attempt_at FROM outbox_jobs
    WHERE state = 'waiting' AND kind = ANY(%(kinds)s) AND lease_until IS NULL
    ORDER BY next_attempt_at LIMIT 1),
  (SELECT min(lease_until) FROM outbox_jobs
    WHERE state = 'waiting' AND kind = ANY(%(kinds)s) AND lease_until IS NOT NULL
      AND next_attempt_at <= statement_timestamp())) - clock_timestamp())
"""

FORGET_AT_ONCE = 1_000
FORGET = f"""
DELETE FROM outbox_jobs WHERE id = ANY(ARRAY(
  SELECT id FROM outbox_jobs
   WHERE state = 'done' AND ended_at < statement_timestamp() - make_interval(secs => %(seconds)s)
   ORDER BY ended_at LIMIT {FORGET_AT_ONCE} FOR UPDATE SKIP LOCKED))
RETURNING id
"""  # noqa: S608


async def enqueue(
    unit: UnitOfWork, kind: str, *, key: str, payload: object, at: datetime | None = None
) -> bool:
    """Write a job in the unit's transaction; false if that key of that kind was there already.

    What its result emits has the unit's cause. `at` is when to begin, else at once.
    """
    cause = unit.cause
    row = await unit.connection.exec_driver_sql(
        _ENQUEUE,
        {
            "kind": kind,
            "key": key,
            "payload": stored(payload),
            "at": at,
            "correlation_id": cause.correlation_id if cause else key,
            "causation_id": cause.id if cause else None,
            "traceparent": cause.traceparent if cause else None,
        },
    )
    unit.announce(JOBS, kind)
    return row.first() is not None


async def claim(connection: AsyncConnection, kinds: Sequence[str], lease: float) -> Job | None:
    """Take the next job that is due, if there is one, for so many seconds."""
    parameters = {"kinds": list(kinds), "seconds": lease, "lease_id": uuid4()}
    row = (await connection.exec_driver_sql(CLAIM, parameters)).first()
    return None if row is None else Job(*tuple[Any, ...](row))


async def extend(connection: AsyncConnection, job: Job, lease: float) -> bool:
    """A sign of life; false if the job is somebody else's by now."""
    return await _ours(connection, _EXTEND, job, {"seconds": lease})


async def end(connection: AsyncConnection, job: Job) -> bool:
    """The job is done; false if it is somebody else's by now."""
    return await _ours(connection, _END, job, {})


async def release(
    connection: AsyncConnection, job: Job, *, error: str, traceback: str, delay: float | None
) -> bool:
    """The attempt came to nothing; the next is after `delay` seconds, or never if None."""
    told = {"error": storable(error), "traceback": storable(traceback), "delay": delay}
    return await _ours(connection, _RELEASE, job, told)


async def until_next(connection: AsyncConnection, kinds: Sequence[str]) -> float | None:
    """Seconds until the next job of these kinds can be claimed; None if there is none."""
    value = (await connection.exec_driver_sql(NEXT, {"kinds": list(kinds)})).scalar()
    return None if value is None else float(value)


async def forget_done(connection: AsyncConnection, after: float) -> int:
    """Remove done jobs that ended so many seconds ago, some at a time; returns how many."""
    return len((await connection.exec_driver_sql(FORGET, {"seconds": after})).all())


async def _ours(
    connection: AsyncConnection, statement: str, job: Job, more: dict[str, Any]
) -> bool:
    parameters = {"id": job.id, "lease": job.lease, **more}
    return (await connection.exec_driver_sql(statement, parameters)).first() is not None

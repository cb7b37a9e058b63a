"""The statements about jobs. Each is short; none is open while somebody calls.

Whoever claims a job draws a new lease id. Only who has the lease extends it and says that an
attempt came to nothing. An answer is taken from any attempt, whoever has the lease by now: all of
them make the same call with the same key. The first answer ends the job; whoever comes later finds
no row, and what it would have committed rolls back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.jobs.job import Job, stored
from outbox.log.unit_of_work import UnitOfWork
from outbox.tracebacks import storable

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

# A job that failed though no answer had come still has the lease id of its last attempt.
_UNANSWERED = "(state = 'waiting' OR (state = 'failed' AND lease_id IS NOT NULL))"

_EXTEND = f"""
UPDATE outbox_jobs
   SET lease_until = CASE WHEN lease_id = %(lease)s AND state = 'waiting'
                          THEN clock_timestamp() + make_interval(secs => %(seconds)s)
                          ELSE lease_until END
 WHERE id = %(id)s AND {_UNANSWERED}
RETURNING id
"""  # noqa: S608

_END = f"""
UPDATE outbox_jobs
   SET state = %(state)s, lease_id = NULL, lease_until = NULL, last_error = %(error)s,
       last_traceback = %(traceback)s, ended_at = clock_timestamp()
 WHERE id = %(id)s AND {_UNANSWERED}
RETURNING id
"""  # noqa: S608

_RELEASE = """
UPDATE outbox_jobs
   SET lease_id = NULL, lease_until = NULL, last_error = %(error)s,
       last_traceback = %(traceback)s,
       next_attempt_at = clock_timestamp() + make_interval(secs => %(delay)s)
 WHERE id = %(id)s AND lease_id = %(lease)s AND state = 'waiting'
RETURNING id
"""

_GIVE_UP = """
UPDATE outbox_jobs
   SET state = 'failed', lease_until = NULL, last_error = %(error)s,
       last_traceback = %(traceback)s, ended_at = clock_timestamp()
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
    """A sign of life; false if the job has ended by now, so that no answer is waited for.

    A lease that somebody else has by now stays theirs.
    """
    return await _found(connection, _EXTEND, job, {"seconds": lease})


async def end(connection: AsyncConnection, job: Job) -> bool:
    """There is an answer: the job is done. False if it had ended before."""
    done = {"state": "done", "error": None, "traceback": None}
    return await _found(connection, _END, job, done)


async def decline(connection: AsyncConnection, job: Job, *, error: str, traceback: str) -> bool:
    """There will be no answer: the job is failed. False if it had ended before."""
    return await _found(connection, _END, job, {"state": "failed", **_told(error, traceback)})


async def release(
    connection: AsyncConnection, job: Job, *, error: str, traceback: str, delay: float
) -> bool:
    """The attempt came to nothing; the next is after `delay` seconds. False if not ours by now."""
    return await _found(connection, _RELEASE, job, {**_told(error, traceback), "delay": delay})


async def give_up(connection: AsyncConnection, job: Job, *, error: str, traceback: str) -> bool:
    """No attempt is left; should an answer of an earlier one still come, it counts."""
    return await _found(connection, _GIVE_UP, job, _told(error, traceback))


async def until_next(connection: AsyncConnection, kinds: Sequence[str]) -> float | None:
    """Seconds until the next job of these kinds can be claimed; None if there is none."""
    value = (await connection.exec_driver_sql(NEXT, {"kinds": list(kinds)})).scalar()
    return None if value is None else float(value)


async def forget_done(connection: AsyncConnection, after: float) -> int:
    """Remove done jobs that ended so many seconds ago, some at a time; returns how many."""
    return len((await connection.exec_driver_sql(FORGET, {"seconds": after})).all())


def _told(error: str, traceback: str) -> dict[str, str]:
    return {"error": storable(error), "traceback": storable(traceback)}


async def _found(
    connection: AsyncConnection, statement: str, job: Job, more: dict[str, Any]
) -> bool:
    parameters = {"id": job.id, "lease": job.lease, **more}
    return (await connection.exec_driver_sql(statement, parameters)).first() is not None

"""Every statement on `outbox_jobs`. Each is short; none is open while a call is being made.

Invariant: a claim draws a new lease id. Only the holder of the lease extends it or reports that the
attempt failed. An answer counts from any attempt, even if another attempt has the lease by then:
all of them make the same call with the same key. The first answer ends the job. A later one finds
no row, and its transaction rolls back. See decision 1122.

One file, because all statements on one table are here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.rows import class_row

from outbox.jobs.job import Job, JobCount, JobFailure
from outbox.log.unit_of_work import UnitOfWork

Connection = psycopg.AsyncConnection[Any]

CHANNEL = "outbox_jobs"
"""The channel on which workers hear of new jobs."""

_COLUMNS = """
id, kind, key, payload, state, attempts, lease_id, lease_until, next_attempt_at, last_error,
last_traceback, correlation_id, causation_id, traceparent, created_at, ended_at
"""

_ENQUEUE = """
INSERT INTO outbox_jobs (kind, key, payload, next_attempt_at, correlation_id, causation_id,
                         traceparent)
VALUES (%(kind)s, %(key)s, %(payload)s::json, coalesce(%(at)s, clock_timestamp()),
        %(correlation_id)s, %(causation_id)s, %(traceparent)s)
ON CONFLICT (kind, key) DO NOTHING
RETURNING id
"""

# `statement_timestamp()` is constant during a statement: the index scan ends where nothing is due.
# A range is worth the index to PostgreSQL even where it has no statistics: see decision 1660.
_IS_DUE = "next_attempt_at BETWEEN '-infinity' AND statement_timestamp()"
# The claim counts the attempt, so a job that kills its worker ends too: see decision 0507.
CLAIM = f"""
UPDATE outbox_jobs j
   SET lease_id = %(lease_id)s, attempts = attempts + 1,
       lease_until = clock_timestamp() + make_interval(secs => %(seconds)s)
 WHERE id = (SELECT id FROM outbox_jobs
              WHERE state = 'waiting' AND kind = ANY(%(kinds)s)
                AND {_IS_DUE}
                AND (lease_until IS NULL OR lease_until <= statement_timestamp())
              ORDER BY next_attempt_at LIMIT 1
                FOR UPDATE SKIP LOCKED)
RETURNING {_COLUMNS}
"""  # noqa: S608

# A job that failed without an answer keeps the lease id of its last attempt, whose
# answer may still come: see decision 1122.
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

# The first job without a lease, or the first due job whose lease ends.
NEXT = f"""
SELECT extract(epoch FROM least(
  (SELECT next_attempt_at FROM outbox_jobs
    WHERE state = 'waiting' AND kind = ANY(%(kinds)s) AND lease_until IS NULL
      AND next_attempt_at BETWEEN '-infinity' AND 'infinity'
    ORDER BY next_attempt_at LIMIT 1),
  (SELECT min(lease_until) FROM outbox_jobs
    WHERE state = 'waiting' AND kind = ANY(%(kinds)s) AND lease_until IS NOT NULL
      AND {_IS_DUE})) - clock_timestamp())
"""  # noqa: S608

DELETED_AT_ONCE = 1_000
DELETE_DONE = f"""
DELETE FROM outbox_jobs WHERE id = ANY(ARRAY(
  SELECT id FROM outbox_jobs
   WHERE state = 'done' AND ended_at < statement_timestamp() - make_interval(secs => %(seconds)s)
   ORDER BY ended_at LIMIT {DELETED_AT_ONCE} FOR UPDATE SKIP LOCKED))
RETURNING id
"""  # noqa: S608

_FILTER = """
 WHERE (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(key)s::text IS NULL OR key = %(key)s)
"""

_LIST = f"""
SELECT {_COLUMNS} FROM outbox_jobs
 {_FILTER} AND (%(state)s::text IS NULL OR state = %(state)s) AND id > %(after)s
 ORDER BY id LIMIT %(limit)s
"""  # noqa: S608

# Each half has an index of its own, so done jobs are not read.
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

REDRIVEN = "(state = 'failed' OR (state = 'waiting' AND lease_id IS NULL))"
"""Condition: a job that a redrive tries."""
# A job whose call is being made is left alone: its answer counts.
DISCARDABLE = """
(state = 'failed' OR (state = 'waiting'
 AND (lease_until IS NULL OR lease_until <= clock_timestamp())))
"""
"""Condition: a job that a discard gives up."""

PREVIEW = f"""
SELECT count(*) AS events, count(*) AS streams, 0::bigint AS followers,
       statement_timestamp() AS at,
       coalesce(to_hex(bit_xor(hashtextextended(state || id, 0))), '') AS digest
  FROM outbox_jobs {_FILTER} AND {{which}}
"""  # noqa: S608
"""How many jobs the condition `which` is true for."""

_REDRIVE = f"""
WITH again AS (
  UPDATE outbox_jobs
     SET state = 'waiting', attempts = 0, next_attempt_at = clock_timestamp(), ended_at = NULL,
         lease_id = NULL, lease_until = NULL
  {_FILTER} AND {REDRIVEN}
  RETURNING kind
)
SELECT count(*), pg_notify('{CHANNEL}', '') FROM again
"""  # noqa: S608

_DISCARD = f"""
UPDATE outbox_jobs SET state = 'discarded', ended_at = clock_timestamp(),
       lease_id = NULL, lease_until = NULL
 WHERE kind = %(kind)s AND key = %(key)s AND {DISCARDABLE}
RETURNING id
"""  # noqa: S608


async def enqueue(
    unit: UnitOfWork, kind: str, *, key: str, payload: object, at: datetime | None = None
) -> bool:
    """Write a job in the unit's transaction; false if this kind has a job with this key already.

    The events of its result have the unit's cause. The call is made from `at` on, without it at
    once.
    """
    cause = unit.cause
    row = await unit.connection.exec_driver_sql(
        _ENQUEUE,
        {
            "kind": kind,
            "key": key,
            "payload": json.dumps(payload, ensure_ascii=False, allow_nan=False),
            "at": at,
            "correlation_id": cause.correlation_id if cause else key,
            "causation_id": cause.id if cause else None,
            "traceparent": cause.traceparent if cause else None,
        },
    )
    unit.announce(CHANNEL, kind)
    return row.first() is not None


class JobStore:
    """The table of jobs over one connection, within the transaction that is open there, if any."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def claim(self, kinds: Sequence[str], lease: float) -> Job | None:
        """Lease the next due job of these kinds for `lease` seconds; None if there is none."""
        parameters = {"kinds": list(kinds), "seconds": lease, "lease_id": uuid4()}
        async with self._connection.cursor(row_factory=class_row(Job)) as cursor:
            await cursor.execute(CLAIM, parameters)
            return await cursor.fetchone()

    async def extend(self, job: Job, lease: float) -> bool:
        """Extend the lease, unless another attempt has it; false if the job has ended."""
        return await self._change(_EXTEND, job, seconds=lease)

    async def end(self, job: Job) -> bool:
        """There is an answer: the job is done. False if it had ended before."""
        return await self._change(_END, job, state="done", error=None, traceback=None)

    async def decline(self, job: Job, failure: JobFailure) -> bool:
        """There will be no answer: the job has failed. False if it had ended before."""
        error, traceback = failure.error, failure.traceback
        return await self._change(_END, job, state="failed", error=error, traceback=traceback)

    async def release(self, job: Job, failure: JobFailure, *, delay: float) -> bool:
        """The attempt failed; the next is after `delay` seconds. False if the lease is lost."""
        error, traceback = failure.error, failure.traceback
        return await self._change(_RELEASE, job, error=error, traceback=traceback, delay=delay)

    async def give_up(self, job: Job, failure: JobFailure) -> bool:
        """The last attempt failed; if the answer of an earlier one still comes, it counts."""
        error, traceback = failure.error, failure.traceback
        return await self._change(_GIVE_UP, job, error=error, traceback=traceback)

    async def until_next(self, kinds: Sequence[str]) -> float | None:
        """Seconds until the next job of these kinds can be claimed; None if there is none."""
        cursor = await self._connection.execute(NEXT, {"kinds": list(kinds)})
        [(seconds,)] = await cursor.fetchall()
        return None if seconds is None else float(seconds)

    async def delete_done(self, after: float) -> int:
        """Delete some of the jobs done more than `after` seconds ago; returns how many."""
        cursor = await self._connection.execute(DELETE_DONE, {"seconds": after})
        return len(await cursor.fetchall())

    async def _change(self, statement: str, job: Job, **values: object) -> bool:
        parameters = {"id": job.id, "lease": job.lease_id, **values}
        cursor = await self._connection.execute(statement, parameters)
        return await cursor.fetchone() is not None


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
    after: int = 0,
) -> list[Job]:
    """Jobs with ids above `after`, oldest first; `state` is waiting, done, failed or discarded."""
    parameters = {
        "kind": kind,
        "key": key,
        "state": state,
        "limit": limit,
        "after": after,
    }
    async with connection.cursor(row_factory=class_row(Job)) as cursor:
        await cursor.execute(_LIST, parameters)
        return await cursor.fetchall()


async def redrive(
    connection: Connection, *, kind: str | None = None, key: str | None = None
) -> int:
    """Try failed jobs, and those that wait for their next attempt, at once; returns how many.

    They have all attempts before them again, and the same idempotency key.
    """
    cursor = await connection.execute(_REDRIVE, {"kind": kind, "key": key})
    found = await cursor.fetchone()
    return 0 if found is None else int(found[0])


async def discard(connection: Connection, kind: str, key: str) -> bool:
    """Give up a job that has failed or waits; false if there is none, or its call is being made.

    The row stays as `discarded`, with its last error, so that this key of this kind is never called
    again.
    """
    cursor = await connection.execute(_DISCARD, {"kind": kind, "key": key})
    return await cursor.fetchone() is not None

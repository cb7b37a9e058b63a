"""Makes the calls: claims a job, calls with no transaction open, commits the result.

Invariant: a result is committed together with the end of its job, and a job ends once. The first
answer ends it, even if its lease had run out and another worker is making the same call: that call
has the same key, so the other side repeats its answer.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import NoneType

from outbox import metrics
from outbox.argument_checks import check_handler, instance
from outbox.delays import AdaptiveInterval
from outbox.errors import HandlerCancelled
from outbox.failpoints import hit
from outbox.failures import contending, is_loss
from outbox.jobs.job import UNDONE, Declined, Job, JobFailure, JobHandler, Result
from outbox.jobs.settings import JobSettings
from outbox.jobs.store import CHANNEL, DELETED_AT_ONCE, JobStore, count_jobs
from outbox.jobs.tables import JOB_TABLES
from outbox.log.deferred import raw_connection
from outbox.log.work import Work
from outbox.losses import one_line
from outbox.postgres.table_groups import check
from outbox.supervise import Up, keep_running, pause, together, whole

logger = logging.getLogger(__name__)

_BLOCKED = (
    "job %s %s: the event loop was blocked for %.1f s, longer than the lease of %.1f s: another"
    " worker may have made the same call. A handler must not block"
)

REPORT_EVERY = 10.0
REPORT_AGAIN = 1.0
HOUSEKEEPING_EVERY = 600.0
AT_LEAST = 0.01  # clocks differ a little


class AlreadyEnded(Exception):
    """Another attempt has had its answer, or a person has discarded the job."""


class NoAnswer(Exception):
    """All attempts are used up, and the outcome of the last is unknown."""


class JobWorker:
    """A background service of a worker process. Any number may run, each with several calls."""

    def __init__(
        self, work: Work, handlers: Mapping[str, JobHandler], settings: JobSettings | None = None
    ) -> None:
        """Raises `InvalidSetting` for what can never work."""
        instance("work", work, Work)
        instance("handlers", handlers, Mapping)
        instance("settings", settings, JobSettings, NoneType)
        for kind, handler in handlers.items():
            check_handler(f"handler of job {kind}", handler, ("job",))
        self._work = work
        self._handlers = handlers
        self._kinds = sorted(handlers)
        self._settings = settings or JobSettings()
        self._next_housekeeping = 0.0
        self._reporting = AdaptiveInterval(REPORT_EVERY, time.monotonic)
        self._kinds_seen = set(handlers)
        self._wake = asyncio.Event()
        self._line = asyncio.Lock()
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop, through any loss of the database; then finish running calls.

        Raises `DatabaseRefused` at the first connection or `SchemaBehind`: they need a person.
        """
        callers = (
            keep_running(f"jobs {number + 1}", lambda up: self._session(up, stop), stop)
            for number in range(self._settings.concurrency)
        )
        async with self._work.notifications.hearing(CHANNEL, lambda _: self._wake.set()):
            reporting = keep_running("job counts", lambda up: self._report_on(up, stop), stop)
            await together(reporting, *callers)

    async def run_due(self) -> int:
        """Work on the due jobs, one after the other; returns how many. For tests and tools."""
        done = 0
        while (job := await self._claim()) is not None:
            await self._work_on(job)
            done += 1
        return done

    async def _session(self, up: Up, stop: asyncio.Event) -> None:
        async with self._work.read() as connection:
            await check(connection, [JOB_TABLES])
        try:
            while not stop.is_set():
                await self._housekeep(stop)
                job = await self._claim()
                self.running = True
                up("is ready")
                if job is not None:
                    await self._work_on(job)
                else:
                    await self._wait_for_job(stop)
        finally:
            self.running = False

    async def _wait_for_job(self, stop: asyncio.Event) -> None:
        """Wait in line. Only the first one waits for a job; the next one looks for another."""
        async with self._line:
            if not stop.is_set():
                await pause(stop, await self._until_next(), self._wake)
                self._wake.clear()

    async def _report_on(self, up: Up, stop: asyncio.Event) -> None:
        up("are reported")
        while not stop.is_set():
            if self.running:
                with self._reporting.measured():
                    await self._report()
            await pause(stop, max(self._reporting.left(), REPORT_AGAIN))

    async def _claim(self) -> Job | None:
        async with self._store() as store:
            return await store.claim(self._kinds, self._settings.lease)

    async def _until_next(self) -> float:
        """Seconds until jobs are asked for again, unless one is announced before."""
        async with self._store() as store:
            seconds = await store.until_next(self._kinds)
        seldom = self._work.notifications.poll(self._settings.poll)
        return seldom if seconds is None else min(max(seconds, AT_LEAST), seldom)

    async def _work_on(self, job: Job) -> None:
        hit("job.claimed")
        heartbeat = asyncio.create_task(self._keep_lease(job))
        started = time.perf_counter()
        try:
            result = await self._call(job, heartbeat)
            hit("job.called")
            await contending(lambda: self._commit(job, result))
        except AlreadyEnded:
            logger.warning("job %s %s had ended before; this result is not used", job.kind, job.key)
            metrics.JOBS.labels(job.kind, "void").inc()
        except Exception as problem:
            if is_loss(problem):
                raise
            await self._fail(job, problem)
        else:
            metrics.JOBS.labels(job.kind, "done").inc()
        finally:
            heartbeat.cancel()
            await asyncio.gather(heartbeat, return_exceptions=True)
            metrics.JOB_SECONDS.labels(job.kind).observe(time.perf_counter() - started)

    async def _call(self, job: Job, heartbeat: asyncio.Task[None]) -> Result:
        """Make the call; cancel it when the job has ended, because its answer could not be used."""
        # Claiming counts the attempt; see decision 0507.
        if self._settings.retry.is_last(job.attempts - 1):
            raise NoAnswer(
                f"the outcome of attempt {job.attempts - 1}, the last, is unknown: its worker died,"
                " or its event loop was blocked for longer than the lease"
            )
        calling = asyncio.ensure_future(self._handlers[job.kind](job))
        try:
            await asyncio.wait({calling, heartbeat}, return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                raise AlreadyEnded
            if calling.cancelled():
                raise HandlerCancelled
            return calling.result()
        finally:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)

    async def _keep_lease(self, job: Job) -> None:
        """Extend the lease until the job has ended; an unreachable database is asked again."""
        while True:
            slept = time.monotonic()
            await asyncio.sleep(self._settings.heartbeat)
            if (blocked := time.monotonic() - slept) > self._settings.lease:
                logger.error(_BLOCKED, job.kind, job.key, blocked, self._settings.lease)
            try:
                async with self._store() as store:
                    if not await store.extend(job, self._settings.lease):
                        return
            except Exception as problem:
                logger.warning("job %s %s: no heartbeat: %s", job.kind, job.key, one_line(problem))

    async def _commit(self, job: Job, result: Result) -> None:
        """End the job first: the lock on its row keeps other attempts away until the commit."""
        async with self._work.begin(cause=job.cause) as unit:
            if not await JobStore(await raw_connection(unit.connection)).end(job):
                raise AlreadyEnded
            await whole(result(unit))
        hit("job.committed")

    async def _fail(self, job: Job, problem: Exception) -> None:
        failure, delay = JobFailure.of(problem), self._settings.retry.delay(job.attempts)
        final = isinstance(problem, Declined) or delay is None
        does = "gives up" if final else "tries again"
        where = f"\n{failure.traceback}" if job.attempts == 1 else ""
        logger.warning(
            "job %s %s, attempt %d, %s: %s%s",
            *(job.kind, job.key, job.attempts, does, failure.error, where),
        )
        async with self._store() as store:
            if isinstance(problem, Declined):
                counts = await store.decline(job, failure)
            elif delay is None:
                counts = await store.give_up(job, failure)
            else:
                counts = await store.release(job, failure, delay=delay)
        outcome = "failed" if final else "retry"
        metrics.JOBS.labels(job.kind, outcome if counts else "void").inc()

    async def _report(self) -> None:
        """Set the metrics that only the database knows, for all kinds of jobs."""
        async with self._work.statements() as connection:
            counts = await count_jobs(connection)
        self._kinds_seen |= {count.kind for count in counts}
        found = {(count.kind, count.state): count for count in counts}
        for kind in self._kinds_seen:
            for state in UNDONE:
                count = found.get((kind, state))
                metrics.JOBS_NOW.labels(kind, state).set(count.jobs if count else 0)
            waiting = found.get((kind, "waiting"))
            metrics.JOBS_OLDEST_SECONDS.labels(kind).set(waiting.seconds if waiting else 0.0)

    async def _housekeep(self, stop: asyncio.Event) -> None:
        """Now and then delete all jobs past their retention, also while there is work."""
        if time.monotonic() < self._next_housekeeping:
            return
        self._next_housekeeping = time.monotonic() + HOUSEKEEPING_EVERY
        retention, deleted = self._settings.retention.total_seconds(), DELETED_AT_ONCE
        while deleted == DELETED_AT_ONCE and not stop.is_set():
            async with self._store() as store:
                deleted = await store.delete_done(retention)

    @asynccontextmanager
    async def _store(self) -> AsyncIterator[JobStore]:
        """The table of jobs; each statement is a transaction of its own."""
        async with self._work.statements() as connection:
            yield JobStore(connection)

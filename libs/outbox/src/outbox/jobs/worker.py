"""Works on jobs: claims one, calls with no transaction open, commits what came of it.

Invariant: a result is committed with the end of its job, and a job ends once. The first answer
ends it, also one that comes after the lease was over and another worker has begun the same call:
that one had the same key, and the other side answers it as before.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from types import NoneType

from outbox import metrics
from outbox.adaptive_interval import AdaptiveInterval
from outbox.argument_checks import instance
from outbox.cancellation import whole
from outbox.errors import HandlerCancelled
from outbox.failpoints import hit
from outbox.failures import contending, is_loss
from outbox.handler_signatures import check_handler
from outbox.jobs import store
from outbox.jobs.job import Declined, Job, JobHandler, Result
from outbox.jobs.operations import UNDONE, count_jobs
from outbox.jobs.settings import JobSettings
from outbox.jobs.tables import JOB_TABLES
from outbox.log.deferred import raw_connection
from outbox.log.work import Work
from outbox.postgres.listen import Listener
from outbox.postgres.table_groups import check
from outbox.supervise import Up, keep_running, one_line, pause, together
from outbox.tracebacks import said, traceback_of

log = logging.getLogger(__name__)

_BLOCKED = (
    "job %s %s: the event loop was blocked for %.1f s, longer than the lease of %.1f s: another"
    " worker may make the same call meanwhile. A handler must not block"
)

REPORT_EVERY = 5.0
UPKEEP_EVERY = 600.0
LISTEN_SLICE = 0.25
"""So many seconds at most the end waits for a doorbell that nobody rings."""


class AlreadyEnded(Exception):
    """Another attempt has had the first answer, or a person has given the job up."""


class NoAnswer(Exception):
    """All attempts are used up, and of the last it is not known how it ended."""


class JobWorker:
    """A part of a worker process; any number may run, each with some calls at once."""

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
        self._upkeep = 0.0
        self._reporting = AdaptiveInterval(REPORT_EVERY, time.monotonic)
        self._kinds_seen = set(handlers)
        self._wake = asyncio.Event()
        self.running = False

    async def run(self, stop: asyncio.Event) -> None:
        """Work until told to stop, through any loss of the database; then end the calls begun.

        Raises `DatabaseRefused` at the first connection or `SchemaBehind`: they need a person.
        """
        callers = (
            keep_running(f"jobs {number + 1}", lambda up: self._session(up, stop), stop)
            for number in range(self._settings.concurrency)
        )
        await together(keep_running("jobs", lambda up: self._listen(up, stop), stop), *callers)

    async def run_due(self) -> int:
        """Work on what is due now, one after the other; returns how many. For tests and tools."""
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
                await self._keep_house(stop)
                self._wake.clear()
                job = await self._claim()
                self.running = True
                up("is ready")
                if job is not None:
                    await self._work_on(job)
                else:
                    await pause(self._wake, await self._until_next())
        finally:
            self.running = False

    async def _listen(self, up: Up, stop: asyncio.Event) -> None:
        """Let nobody wait who could work, or should stop."""
        try:
            async with Listener.on(self._work.engine, store.JOBS) as listener:
                up("listens")
                while not stop.is_set():
                    if await listener.heard(LISTEN_SLICE):
                        self._wake.set()
                    if self.running and self._reporting.is_due():
                        with self._reporting.measured():
                            await self._report()
        finally:
            self._wake.set()

    async def _claim(self) -> Job | None:
        async with self._work.engine.begin() as connection:
            return await store.claim(connection, self._kinds, self._settings.lease)

    async def _until_next(self) -> float:
        async with self._work.read() as connection:
            seconds = await store.until_next(connection, self._kinds)
        longest = self._settings.poll
        return longest if seconds is None else min(max(seconds, 0.01), longest)

    async def _work_on(self, job: Job) -> None:
        hit("job.claimed")
        beating = asyncio.create_task(self._keep_lease(job))
        began = time.perf_counter()
        try:
            result = await self._call(job, beating)
            hit("job.called")
            await contending(lambda: self._commit(job, result))
        except AlreadyEnded:
            log.warning("job %s %s had ended before; this result is void", job.kind, job.key)
            metrics.JOBS.labels(job.kind, "void").inc()
        except Exception as problem:
            if is_loss(problem):
                raise
            await self._failed(job, problem)
        else:
            metrics.JOBS.labels(job.kind, "done").inc()
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            metrics.JOB_SECONDS.labels(job.kind).observe(time.perf_counter() - began)

    async def _call(self, job: Job, beating: asyncio.Task[None]) -> Result:
        """Make the call; give it up when the job has ended, for then nothing can come of it."""
        if self._settings.retry.is_last(job.attempt - 1):
            raise NoAnswer(
                f"no end is known of attempt {job.attempt - 1}, the last: its worker died, or its"
                " event loop was blocked for longer than the lease"
            )
        calling = asyncio.ensure_future(self._handlers[job.kind](job))
        try:
            await asyncio.wait({calling, beating}, return_when=asyncio.FIRST_COMPLETED)
            if not calling.done():
                raise AlreadyEnded
            if calling.cancelled():
                raise HandlerCancelled
            return calling.result()
        finally:
            calling.cancel()
            await asyncio.gather(calling, return_exceptions=True)

    async def _keep_lease(self, job: Job) -> None:
        """Returns when the job has ended; a database that is away is asked again until then."""
        while True:
            slept = time.monotonic()
            await asyncio.sleep(self._settings.heartbeat)
            if (blocked := time.monotonic() - slept) > self._settings.lease:
                log.error(_BLOCKED, job.kind, job.key, blocked, self._settings.lease)
            try:
                async with self._work.engine.begin() as connection:
                    if not await store.extend(connection, job, self._settings.lease):
                        return
            except Exception as problem:
                log.warning("job %s %s: no heartbeat: %s", job.kind, job.key, one_line(problem))

    async def _commit(self, job: Job, result: Result) -> None:
        """The end of the job first: its row's lock keeps everybody else away until the commit."""
        async with self._work.begin(cause=job.cause) as unit:
            if not await store.end(unit.connection, job):
                raise AlreadyEnded
            await whole(result(unit))
        hit("job.committed")

    async def _failed(self, job: Job, problem: Exception) -> None:
        error, traceback = said(problem), traceback_of(problem)
        declined, delay = isinstance(problem, Declined), self._settings.retry.delay(job.attempt)
        does = "gives up" if declined or delay is None else "tries again"
        where = f"\n{traceback}" if job.attempt == 1 else ""
        log.warning(
            "job %s %s, attempt %d, %s: %s%s", job.kind, job.key, job.attempt, does, error, where
        )
        told = {"error": error, "traceback": traceback}
        async with self._work.engine.begin() as connection:
            if declined:
                counts, outcome = await store.decline(connection, job, **told), "failed"
            elif delay is None:
                counts, outcome = await store.give_up(connection, job, **told), "failed"
            else:
                counts = await store.release(connection, job, **told, delay=delay)
                outcome = "retry"
        metrics.JOBS.labels(job.kind, outcome if counts else "void").inc()

    async def _report(self) -> None:
        """Set the metrics that only the database knows: of all kinds, whoever works on them."""
        async with self._work.read() as connection:
            counts = await count_jobs(await raw_connection(connection))
        self._kinds_seen |= {count.kind for count in counts}
        found = {(count.kind, count.state): count for count in counts}
        for kind in self._kinds_seen:
            for state in UNDONE:
                count = found.get((kind, state))
                metrics.JOBS_NOW.labels(kind, state).set(count.jobs if count else 0)
            waiting = found.get((kind, "waiting"))
            metrics.JOBS_OLDEST_SECONDS.labels(kind).set(waiting.seconds if waiting else 0.0)

    async def _keep_house(self, stop: asyncio.Event) -> None:
        """Now and then, however much there is to do, remove all that is past its retention."""
        if time.monotonic() < self._upkeep:
            return
        self._upkeep = time.monotonic() + UPKEEP_EVERY
        retention, forgotten = self._settings.retention.total_seconds(), store.FORGET_AT_ONCE
        while forgotten == store.FORGET_AT_ONCE and not stop.is_set():
            async with self._work.engine.begin() as connection:
                forgotten = await store.forget_done(connection, retention)

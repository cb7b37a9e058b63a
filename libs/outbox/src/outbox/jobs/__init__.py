"""Calls to other systems, by lease: written down in one transaction, made outside of any.

A handler's transaction must not call another system. It enqueues a job instead, and a `JobWorker`
makes the call with no transaction open. Every attempt has the same idempotency key, so the other
side can repeat its first answer. The answer, its events and the end of the job are one transaction,
and a job ends once. What a person does about jobs (`list_jobs`, `count_jobs`, `redrive`, `discard`)
takes a psycopg connection, as in `outbox.operations`.

await jobs.enqueue(unit, "payment.hold", key=f"hold {rental_id}", payload=…)   # in a handler
await JobWorker(work, {"payment.hold": hold}).run(stop)                         # in a worker
"""

from outbox.jobs.job import Declined, Job, JobCount, JobHandler, Result
from outbox.jobs.settings import JobSettings
from outbox.jobs.store import count_jobs, discard, enqueue, list_jobs, redrive
from outbox.jobs.tables import declare_jobs
from outbox.jobs.worker import JobWorker

__all__ = [
    "Declined",
    "Job",
    "JobCount",
    "JobHandler",
    "JobSettings",
    "JobWorker",
    "Result",
    "count_jobs",
    "declare_jobs",
    "discard",
    "enqueue",
    "list_jobs",
    "redrive",
]

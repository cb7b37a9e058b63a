"""Calls to the outside: written down in a transaction, made outside of any, committed in one.

await jobs.enqueue(unit, "payment.hold", key=f"hold {rental_id}", payload=…)   # in a handler
await JobWorker(work, {"payment.hold": hold}).run(stop)                         # in a worker
"""

from outbox.jobs.job import Declined, Job, JobHandler, Result
from outbox.jobs.operations import count_jobs, discard, list_jobs, redrive
from outbox.jobs.settings import JobSettings
from outbox.jobs.store import enqueue
from outbox.jobs.tables import declare_jobs
from outbox.jobs.worker import JobWorker

__all__ = [
    "Declined",
    "Job",
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

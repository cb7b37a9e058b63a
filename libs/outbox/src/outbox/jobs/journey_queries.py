"""What a journey asks of `outbox_jobs`: the jobs that events have caused.

They were added in the transactions that applied the events, and their ids are drawn in the order of
time. So no index on the cause is needed, as for events (`outbox.log.journey_queries`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from outbox.log.journey_queries import RANGES_OF_JOBS

CAUSED = f"""
{RANGES_OF_JOBS}
SELECT j.* FROM ranges CROSS JOIN LATERAL (
  SELECT kind, key, state, attempts, causation_id, created_at, ended_at, last_error
    FROM outbox_jobs
   WHERE id >= first AND id < past AND causation_id = ANY(%(causes)s::uuid[])
   LIMIT %(limit)s
) AS j
"""  # noqa: S608
"""Jobs that were added at some moments and have one of these causes."""


@dataclass(frozen=True, slots=True)
class CausedJob:
    """A job with its cause, without its body."""

    kind: str
    key: str
    state: str
    attempts: int
    causation_id: UUID | None
    created_at: datetime
    ended_at: datetime | None
    last_error: str | None

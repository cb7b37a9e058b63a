"""What can be set about a worker of jobs."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from outbox.argument_checks import counts, instance, ordered, seconds
from outbox.failures import RetryPolicy


@dataclass(frozen=True, slots=True)
class JobSettings:
    """Times are in seconds."""

    concurrency: int = 4
    """So many calls at once; each holds no connection while it calls."""
    lease: float = 30.0
    """Another worker takes a job over after so long without a sign of life."""
    heartbeat: float = 10.0
    poll: float = 1.0
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(attempts=20))
    retention: timedelta = timedelta(days=7)
    """Done jobs are removed after so long; their keys may then be used again."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        counts(self, "concurrency")
        seconds(self, "lease", "heartbeat", "poll")
        ordered(self, "heartbeat", "lease")
        instance("JobSettings.retry", self.retry, RetryPolicy)

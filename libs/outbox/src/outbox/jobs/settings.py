"""The settings of a `JobWorker`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from outbox.argument_checks import counts, instance, ordered, seconds
from outbox.failures import RetryPolicy


@dataclass(frozen=True, slots=True)
class JobSettings:
    """Times are in seconds."""

    concurrency: int = 4
    """How many calls are made at once. No connection is held during a call."""
    lease: float = 30.0
    """After this time without a heartbeat another worker makes the call."""
    heartbeat: float = 10.0
    poll: float = 10.0
    """How often jobs are asked for without a reason: new ones are announced, the rest is timed."""
    retry: RetryPolicy = field(default_factory=lambda: RetryPolicy(attempts=20))
    retention: timedelta = timedelta(days=7)
    """Done jobs are deleted after this time; their keys may then be used again."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        counts(self, "concurrency")
        seconds(self, "lease", "heartbeat", "poll")
        ordered(self, "heartbeat", "lease")
        instance("JobSettings.retry", self.retry, RetryPolicy)

"""What can be set about a consumer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import NoneType

from outbox.argument_checks import counts, instance, ordered, seconds, server_seconds
from outbox.failures import RetryPolicy, is_unreadable
from outbox.inbox.handlers import Unhandled
from outbox.inbox.position import LOCK_TIMEOUT, TRANSACTION_TIMEOUT
from outbox.inbox.unsequenced import UnsequencedMessages

MAX_PREFETCH = 65_535
"""AMQP 0-9-1 section 1.8.3.1; 0 would mean without a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxSettings:
    """Times are in seconds."""

    retry: RetryPolicy = field(default_factory=RetryPolicy)
    crashes: int = 3
    """An event of which so many attempts ended without a result is parked as `crashed`."""
    lock_timeout: float = LOCK_TIMEOUT
    """No transaction of the inbox waits longer for a lock."""
    transaction_timeout: float = TRANSACTION_TIMEOUT
    """PostgreSQL ends a longer transaction of the inbox, even if its process stands still."""
    unreadable: Callable[[BaseException], bool] = is_unreadable
    """Whether what a handler raised means that the body cannot be read: no retry."""
    unhandled: Unhandled = "park"
    """What becomes of a type that is neither handled nor ignored: its events are parked, or
    skipped, which is said once per type in the log."""
    commit_after: float = 1.0
    """When a transaction's handlers have taken so long it commits; the rest goes in the next."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        counts(self, "crashes")
        seconds(self, "commit_after")
        server_seconds(self, "lock_timeout", "transaction_timeout")
        instance(f"{type(self).__name__}.retry", self.retry, RetryPolicy)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings(InboxSettings):
    """Those of the inbox, and those of a queue. Times are in seconds."""

    batch: int = 200
    prefetch: int = 500
    retry_every: float = 1.0
    topology_check: float = 30.0
    parked_bytes: int = 1024 * 1024 * 1024
    """So much may be parked; then nothing is taken until less is: it waits in the queue."""
    hangs_after: float = 60.0
    """A handler that takes longer ends the process. At most `transaction_timeout`: one handler
    at its limit must not lose the others' work."""
    senders: Mapping[str, Collection[str]] = field(default_factory=dict)
    """By source, the broker's users that may speak for it; of a source not named, any user may."""
    foreign: UnsequencedMessages | None = None
    """Set to take messages of producers that number nothing; else they are dead letters."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        InboxSettings.__post_init__(self)
        counts(self, "batch", "parked_bytes")
        counts(self, "prefetch", at_most=MAX_PREFETCH)
        seconds(self, "retry_every", "topology_check", "hangs_after")
        ordered(self, "hangs_after", "transaction_timeout")
        instance("ConsumerSettings.senders", self.senders, Mapping)
        instance("ConsumerSettings.foreign", self.foreign, UnsequencedMessages, NoneType)

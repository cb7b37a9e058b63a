"""The settings of an inbox and of a consumer."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType

from outbox.argument_checks import (
    below,
    counts,
    instance,
    ordered,
    seconds,
    seconds_or_zero,
    server_seconds,
    short_names,
)
from outbox.inbox.breaker import CircuitBreaker
from outbox.inbox.failure_policy import Failures, check_failures
from outbox.inbox.handlers import Unhandled
from outbox.inbox.middleware import Middleware
from outbox.inbox.position import LOCK_TIMEOUT, TRANSACTION_TIMEOUT
from outbox.inbox.unsequenced import UnsequencedMessages

MAX_PREFETCH = 65_535
"""AMQP 0-9-1 section 1.8.3.1; 0 would mean without a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxSettings:
    """Times are in seconds."""

    failures: Failures = field(default_factory=dict)
    """What is done with the event of a handler that raises, by class of exception. Without a rule
    it is retried for a day. A handler may have rules too: `@on(OrderPlaced, failures={…})`."""
    crashes: int = 3
    """An event is parked as `crashed` after this many attempts that ended without a result."""
    lock_timeout: float = LOCK_TIMEOUT
    """No transaction of the inbox waits longer for a lock."""
    transaction_timeout: float = TRANSACTION_TIMEOUT
    """PostgreSQL ends a longer transaction, also of a stopped process; see decision 1142."""
    breaker: CircuitBreaker | None = field(default_factory=CircuitBreaker)
    """When many streams fail with one cause their event type is not handled, until one event of it
    succeeds; None for never."""
    unhandled: Unhandled = "park"
    """Events of a type that is neither handled nor ignored are parked or skipped. Skipping is
    logged once per type; see decision 1131."""
    time_limit: float = 30.0
    """A handler that takes longer is cancelled, and its event fails; 0 for no limit. A handler
    may have another one: `@on(OrderPlaced, time_limit=5)`. See decision 1612."""
    middleware: Sequence[Middleware] = ()
    """Runs around each call of a handler; the first is the outermost. See decision 1613."""
    commit_after: float = 1.0
    """A transaction commits after its handlers ran for this long; the next one does the rest."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        counts(self, "crashes")
        seconds(self, "commit_after")
        seconds_or_zero(self, "time_limit")
        server_seconds(self, "lock_timeout", "transaction_timeout")
        instance(f"{type(self).__name__}.breaker", self.breaker, CircuitBreaker, NoneType)
        check_failures(f"{type(self).__name__}.failures", self.failures)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerSettings(InboxSettings):
    """The settings of the inbox and of one queue. Times are in seconds."""

    concurrency: int = 8
    """Workers that handle batches side by side, each in a transaction of its own."""
    batch: int = 200
    prefetch: int = 400
    retry_every: float = 10.0
    topology_check: float = 30.0
    parked_bytes: int = 1024 * 1024 * 1024
    """Above this bound nothing is received until less is parked: events wait in the queue."""
    hangs_after: float = 60.0
    """A handler that takes longer ends the process: it blocks the event loop or ignores that it
    was cancelled. Above `time_limit`, and at most `transaction_timeout`: one handler at its limit
    must not lose the others' work."""
    senders: Mapping[str, Collection[str]] = field(default_factory=dict)
    """The broker's users that may send for a source. For a source not named here any user may."""
    unsequenced: UnsequencedMessages | None = None
    """Set to accept messages of producers that number nothing; else they are dead letters."""
    resend: Sequence[str] = ()
    """Sources that send lost events again when they are asked: the way back exists. Of others a
    loss is reported."""
    missing_after: float = 30.0
    """An event that a beacon shows may be on its way for so long before it counts as missing."""

    def __post_init__(self) -> None:
        """Raises `InvalidSetting`."""
        InboxSettings.__post_init__(self)
        counts(self, "concurrency", "batch", "parked_bytes")
        counts(self, "prefetch", at_most=MAX_PREFETCH)
        seconds(self, "retry_every", "topology_check", "hangs_after", "missing_after")
        ordered(self, "hangs_after", "transaction_timeout")
        below(self, "time_limit", "hangs_after")
        short_names("ConsumerSettings.resend", self.resend)
        instance("ConsumerSettings.senders", self.senders, Mapping)
        instance("ConsumerSettings.unsequenced", self.unsequenced, UnsequencedMessages, NoneType)

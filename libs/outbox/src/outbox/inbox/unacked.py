"""How long a delivery may wait for its ack, against the broker's consumer timeout.

RabbitMQ closes a channel on which a delivery is unacked for longer, and delivers everything again
(RabbitMQ, "Consumers", "Delivery Acknowledgement Timeout"). Nothing is lost or takes effect twice,
but what was in hand is handled for nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from outbox.inbox.handlers import HandleMany, HandleOne, HandlersByType, Ignore
from outbox.inbox.settings import ConsumerSettings

CONSUMER_TIMEOUT = 1800.0
"""Seconds; RabbitMQ's default. Neither AMQP nor the management API shows `rabbitmq.conf`."""


@dataclass(frozen=True, slots=True)
class Unacked:
    """What bounds the wait of the last delivery of a full prefetch. Times are in seconds."""

    prefetch: int
    concurrency: int
    slowest: float
    """What a handler takes at most."""
    is_limited: bool = True
    """Whether every handler has a time limit."""

    @classmethod
    def of(cls, handlers: HandlersByType, settings: ConsumerSettings) -> Unacked:
        """Without a time limit, `hangs_after` bounds a handler: the process ends."""
        limits = [
            handler.time_limit
            if isinstance(handler, HandleOne | HandleMany) and handler.time_limit is not None
            else settings.time_limit
            for handler in handlers.values()
            if not isinstance(handler, Ignore)
        ] or [settings.time_limit]
        slowest = max(limit or settings.hangs_after for limit in limits)
        return cls(settings.prefetch, settings.concurrency, slowest, all(limits))

    @property
    def longest(self) -> float:
        """The deliveries are of many streams: workers share them evenly, one after the other."""
        return math.ceil(self.prefetch / self.concurrency) * self.slowest

    def exceeds(self, timeout: float = CONSUMER_TIMEOUT) -> bool:
        """Whether the broker may deliver again what is in hand."""
        return self.longest >= timeout

    def says(self, timeout: float = CONSUMER_TIMEOUT, whose: str = "RabbitMQ's default") -> str:
        """The bound, how it comes about, and the timeout."""
        limit = f"time_limit {self.slowest:g} s"
        if not self.is_limited:
            limit = f"hangs_after {self.slowest:g} s, as time_limit is 0 and bounds nothing"
        return (
            f"a delivery waits for its ack for up to {self.longest:g} s (prefetch {self.prefetch}"
            f" / concurrency {self.concurrency} × {limit});"
            f" the consumer timeout is {timeout:g} s ({whose})"
        )

"""Who consumes what: the one place where a queue is named.

A queue takes whole aggregate types, never single event types: a stream with left-out
events would have holes in its sequence.
"""

from __future__ import annotations

from typing import NamedTuple


class Exchange(NamedTuple):
    """Where a service publishes its events."""

    source: str
    name: str


class Subscription(NamedTuple):
    """Events of one aggregate type from one source go to one queue."""

    source: str
    exchange: str
    aggregate_type: str
    queue: str

    @property
    def routing_keys(self) -> tuple[str, ...]:
        """The binding keys of the queue (topic exchange, AMQP 0-9-1 section 3.1.3.3)."""
        return (f"{self.aggregate_type}.#",)


ORDERS = Exchange("service-orders", "orders")
PROCESSOR = Exchange("service-processor", "processor")
EXCHANGES: tuple[Exchange, ...] = (ORDERS, PROCESSOR)

SUBSCRIPTIONS: tuple[Subscription, ...] = (
    Subscription(*ORDERS, "order", "processor.orders"),
    Subscription(*PROCESSOR, "order", "orders.orders"),
)

UNSUBSCRIBED: frozenset[str] = frozenset()
"""Aggregate types that are published although nobody here consumes them."""

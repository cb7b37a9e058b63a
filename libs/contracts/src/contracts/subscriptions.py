"""Who consumes what: the one place where a queue is named.

A queue takes whole aggregate types, never single event types: a stream with left-out
events would have holes in its sequence.
"""

from __future__ import annotations

from datetime import timedelta
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
    parts: tuple[str, ...] = ()
    """Further first words of types in streams of the aggregate: a table's in its restaurant's."""

    @property
    def first_words(self) -> tuple[str, ...]:
        """What the types of these events begin with."""
        return (self.aggregate_type, *self.parts)

    @property
    def routing_keys(self) -> tuple[str, ...]:
        """The binding keys of the queue (topic exchange, AMQP 0-9-1 section 3.1.3.3)."""
        return tuple(f"{word}.#" for word in self.first_words)


ORDERS = Exchange("service-orders", "orders")
PROCESSOR = Exchange("service-processor", "processor")
EXCHANGES: tuple[Exchange, ...] = (ORDERS, PROCESSOR)

SUBSCRIPTIONS: tuple[Subscription, ...] = (
    Subscription(*ORDERS, "order", "processor.orders"),
    Subscription(*PROCESSOR, "order", "orders.orders"),
    Subscription(*ORDERS, "booking", "processor.bookings"),
    Subscription(*PROCESSOR, "booking", "orders.bookings"),
    Subscription(*PROCESSOR, "restaurant", "orders.restaurants", parts=("table",)),
    Subscription(*ORDERS, "ticket", "processor.tickets"),
    Subscription(*PROCESSOR, "ticket", "orders.tickets"),
)

UNSUBSCRIBED: frozenset[str] = frozenset({"reservation"})
"""Aggregate types that are published although nobody here but the audit takes them."""

AUDIT = "audit"
"""The stream queue that takes every event of every exchange."""

AUDIT_KEPT = timedelta(days=7)

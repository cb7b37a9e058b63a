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
    """Events of these aggregate types from one source go to one queue."""

    source: str
    exchange: str
    queue: str
    aggregate_types: tuple[str, ...]
    parts: tuple[str, ...] = ()
    """Further first words of types in streams of the aggregate: a table's in its restaurant's."""

    @property
    def first_words(self) -> tuple[str, ...]:
        """What the types of these events begin with."""
        return (*self.aggregate_types, *self.parts)

    @property
    def routing_keys(self) -> tuple[str, ...]:
        """The binding keys of the queue (topic exchange, AMQP 0-9-1 section 3.1.3.3)."""
        return tuple(f"{word}.#" for word in self.first_words)


ORDERS = Exchange("service-orders", "orders")
PROCESSOR = Exchange("service-processor", "processor")
EXCHANGES: tuple[Exchange, ...] = (ORDERS, PROCESSOR)

SUBSCRIPTIONS: tuple[Subscription, ...] = (
    Subscription(*ORDERS, "processor.orders", ("order",)),
    Subscription(*PROCESSOR, "orders.orders", ("order",)),
    Subscription(*ORDERS, "processor.bookings", ("booking",)),
    Subscription(*PROCESSOR, "orders.bookings", ("booking",)),
    Subscription(*PROCESSOR, "orders.restaurants", ("restaurant",), parts=("table",)),
    Subscription(*ORDERS, "processor.tickets", ("ticket",)),
    Subscription(*PROCESSOR, "orders.tickets", ("ticket",)),
    Subscription(*ORDERS, "processor.rentals", ("rental",)),
    Subscription(*PROCESSOR, "orders.rentals", ("payment",)),
)

UNSUBSCRIBED: frozenset[str] = frozenset({"reservation"})
"""Aggregate types that are published although nobody here but the audit takes them."""

AUDIT = "audit"
"""The stream queue that takes every event of every exchange."""

AUDIT_KEPT = timedelta(days=7)

"""Which queue takes which events: the one place where a queue has its name.

A queue takes all events of an aggregate type, never single event types: a stream with left-out
events would have gaps in its sequence. A constant is called like its queue, and services refer to
the constant.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple


class Subscription(NamedTuple):
    """All events of these aggregate types from one source go to one queue.

    `outbox.Subscription` has the same fields in the same order. There are two classes because
    the contracts of the services must not depend on the library that carries their events.
    """

    exchange: str
    queue: str
    source: str
    aggregate_types: tuple[str, ...]
    parts: tuple[str, ...] = ()  # see decision 0601
    """Further first words of event types in the same streams: a table's in its restaurant's."""

    @property
    def first_words(self) -> tuple[str, ...]:
        """The words that the types of these events begin with."""
        return (*self.aggregate_types, *self.parts)

    @property
    def routing_keys(self) -> tuple[str, ...]:
        """The binding keys of the queue (topic exchange, AMQP 0-9-1 section 3.1.3.3)."""
        return tuple(f"{word}.#" for word in self.first_words)


class Exchange(NamedTuple):
    """The exchange to which a service publishes its events."""

    source: str
    name: str

    def to(self, queue: str, *aggregate_types: str, parts: tuple[str, ...] = ()) -> Subscription:
        """A subscription of `queue` to events of this exchange."""
        return Subscription(self.name, queue, self.source, aggregate_types, parts)


ORDERS = Exchange("service-orders", "orders")
PROCESSOR = Exchange("service-processor", "processor")
EXCHANGES: tuple[Exchange, ...] = (ORDERS, PROCESSOR)

PROCESSOR_ORDERS = ORDERS.to("processor.orders", "order")
ORDERS_ORDERS = PROCESSOR.to("orders.orders", "order")
PROCESSOR_BOOKINGS = ORDERS.to("processor.bookings", "booking")
ORDERS_BOOKINGS = PROCESSOR.to("orders.bookings", "booking")
ORDERS_RESTAURANTS = PROCESSOR.to("orders.restaurants", "restaurant", parts=("table",))
PROCESSOR_TICKETS = ORDERS.to("processor.tickets", "ticket")
ORDERS_TICKETS = PROCESSOR.to("orders.tickets", "ticket")
PROCESSOR_RENTALS = ORDERS.to("processor.rentals", "rental")
ORDERS_RENTALS = PROCESSOR.to("orders.rentals", "payment")

SUBSCRIPTIONS: tuple[Subscription, ...] = (
    PROCESSOR_ORDERS,
    ORDERS_ORDERS,
    PROCESSOR_BOOKINGS,
    ORDERS_BOOKINGS,
    ORDERS_RESTAURANTS,
    PROCESSOR_TICKETS,
    ORDERS_TICKETS,
    PROCESSOR_RENTALS,
    ORDERS_RENTALS,
)

UNSUBSCRIBED: frozenset[str] = frozenset({"reservation"})
"""Aggregate types whose events only the audit consumes."""

AUDIT = "audit"
"""The stream queue that takes every event of every exchange."""

AUDIT_KEPT = timedelta(days=7)

"""The exchanges of the services, and what a subscription of a queue to one of them is.

A queue takes all events of an aggregate type, never single event types: a stream with left-out
events would have gaps in its sequence. The module of a domain declares its subscriptions. There a
constant is called like its queue (`PROCESSOR_ORDERS`), and services refer to the constant.
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

EVERY_SERVICE = "every service"
"""The `source` of an event class whose events come from each of them."""

AUDIT = "audit"
"""The stream queue that takes every event of every exchange."""

AUDIT_KEPT = timedelta(days=7)

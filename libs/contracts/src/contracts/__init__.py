"""The events that the services share, and who consumes them. Nothing else.

An event is immutable once published: a field may be added with a default, never
renamed, removed or narrowed. The golden samples in `tests/golden` hold this.
"""

from contracts.base import Contract
from contracts.orders import (
    OrderCancelled,
    OrderCreated,
    OrderedProduct,
    OrderOutcome,
    OrderProcessed,
    OrderProcessingStarted,
)
from contracts.subscriptions import EXCHANGES, SUBSCRIPTIONS, UNSUBSCRIBED, Exchange, Subscription

EVENTS: tuple[type[Contract], ...] = (
    OrderCreated,
    OrderCancelled,
    OrderProcessingStarted,
    OrderProcessed,
)

__all__ = [
    "EVENTS",
    "EXCHANGES",
    "SUBSCRIPTIONS",
    "UNSUBSCRIBED",
    "Contract",
    "Exchange",
    "OrderCancelled",
    "OrderCreated",
    "OrderOutcome",
    "OrderProcessed",
    "OrderProcessingStarted",
    "OrderedProduct",
    "Subscription",
]

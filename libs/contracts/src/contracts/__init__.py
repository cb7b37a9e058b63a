"""The contracts of the services: the events that they exchange, and which queue takes which events.

There is one module per domain, with a class for each event type. `subscriptions.py` declares the
exchanges and queues, and `asyncapi.py` writes the AsyncAPI document of everything here. An event is
immutable once published: a field may be added with a default, but never renamed, removed or
narrowed. The golden samples in `tests/golden` keep this promise. The package depends on pydantic
alone.
"""

from contracts.base import Contract
from contracts.bookings import (
    BookingCancelled,
    BookingChecking,
    BookingConfirmed,
    BookingCreated,
    BookingRejected,
    Rejection,
)
from contracts.orders import (
    OrderCancelled,
    OrderCreated,
    OrderedProduct,
    OrderOutcome,
    OrderProcessed,
    OrderProcessingStarted,
)
from contracts.rentals import (
    PaymentClearDeclined,
    PaymentCleared,
    PaymentDeclined,
    PaymentHeld,
    PaymentReleased,
    RentalFinished,
    RentalStarted,
)
from contracts.restaurants import (
    ReservationCreated,
    ReservationDeleted,
    RestaurantCreated,
    TableCreated,
    TableDeleted,
)
from contracts.subscriptions import (
    AUDIT,
    AUDIT_KEPT,
    EXCHANGES,
    ORDERS_BOOKINGS,
    ORDERS_ORDERS,
    ORDERS_RENTALS,
    ORDERS_RESTAURANTS,
    ORDERS_TICKETS,
    PROCESSOR_BOOKINGS,
    PROCESSOR_ORDERS,
    PROCESSOR_RENTALS,
    PROCESSOR_TICKETS,
    SUBSCRIPTIONS,
    UNSUBSCRIBED,
    Exchange,
    Subscription,
)
from contracts.tickets import (
    TicketCloseDue,
    TicketCommentDeleted,
    TicketCommented,
    TicketCreated,
    TicketStatusChanged,
)

EVENTS: tuple[type[Contract], ...] = (
    OrderCreated,
    OrderCancelled,
    OrderProcessingStarted,
    OrderProcessed,
    BookingCreated,
    BookingCancelled,
    BookingChecking,
    BookingConfirmed,
    BookingRejected,
    RestaurantCreated,
    TableCreated,
    TableDeleted,
    ReservationCreated,
    ReservationDeleted,
    TicketCreated,
    TicketStatusChanged,
    TicketCommented,
    TicketCommentDeleted,
    TicketCloseDue,
    RentalStarted,
    RentalFinished,
    PaymentHeld,
    PaymentDeclined,
    PaymentCleared,
    PaymentClearDeclined,
    PaymentReleased,
)


def events_of(subscription: Subscription) -> tuple[type[Contract], ...]:
    """The classes of all events that the subscription's queue receives."""
    return tuple(
        event
        for event in EVENTS
        if event.source == subscription.source
        and event.aggregate_type in subscription.aggregate_types
    )


__all__ = [
    "AUDIT",
    "AUDIT_KEPT",
    "EVENTS",
    "EXCHANGES",
    "ORDERS_BOOKINGS",
    "ORDERS_ORDERS",
    "ORDERS_RENTALS",
    "ORDERS_RESTAURANTS",
    "ORDERS_TICKETS",
    "PROCESSOR_BOOKINGS",
    "PROCESSOR_ORDERS",
    "PROCESSOR_RENTALS",
    "PROCESSOR_TICKETS",
    "SUBSCRIPTIONS",
    "UNSUBSCRIBED",
    "BookingCancelled",
    "BookingChecking",
    "BookingConfirmed",
    "BookingCreated",
    "BookingRejected",
    "Contract",
    "Exchange",
    "OrderCancelled",
    "OrderCreated",
    "OrderOutcome",
    "OrderProcessed",
    "OrderProcessingStarted",
    "OrderedProduct",
    "PaymentClearDeclined",
    "PaymentCleared",
    "PaymentDeclined",
    "PaymentHeld",
    "PaymentReleased",
    "Rejection",
    "RentalFinished",
    "RentalStarted",
    "ReservationCreated",
    "ReservationDeleted",
    "RestaurantCreated",
    "Subscription",
    "TableCreated",
    "TableDeleted",
    "TicketCloseDue",
    "TicketCommentDeleted",
    "TicketCommented",
    "TicketCreated",
    "TicketStatusChanged",
    "events_of",
]

"""The events that the services share, and who consumes them. Nothing else.

An event is immutable once published: a field may be added with a default, never
renamed, removed or narrowed. The golden samples in `tests/golden` hold this.
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

__all__ = [
    "AUDIT",
    "AUDIT_KEPT",
    "EVENTS",
    "EXCHANGES",
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
]

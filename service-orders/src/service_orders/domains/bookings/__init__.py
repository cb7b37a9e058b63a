"""Bookings: this service stores them, and service-processor allocates a table or rejects them."""

from contracts.bookings import ORDERS_BOOKINGS
from service_orders.domains.bookings.api import PROBLEMS, router
from service_orders.domains.bookings.handlers import on
from servicekit.service.domain import Domain

BOOKINGS = Domain(
    name="bookings",
    router=router,
    problems=PROBLEMS,
    subscription=ORDERS_BOOKINGS,
    handlers=on,
)

"""Bookings: asked for here, given a table or refused by service-processor."""

from service_orders.domains.bookings.api import PROBLEMS, router
from service_orders.domains.bookings.handlers import HANDLERS
from servicekit.service.domain import Domain

QUEUE = "orders.bookings"

BOOKINGS = Domain(name="bookings", router=router, problems=PROBLEMS, queue=QUEUE, handlers=HANDLERS)

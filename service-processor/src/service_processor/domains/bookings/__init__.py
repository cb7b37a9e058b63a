"""Bookings: asked for at service-orders, given a table or refused here."""

from service_processor.domains.bookings.handlers import HANDLERS
from servicekit.service.domain import Domain

QUEUE = "processor.bookings"

BOOKINGS = Domain(name="bookings", queue=QUEUE, handlers=HANDLERS)

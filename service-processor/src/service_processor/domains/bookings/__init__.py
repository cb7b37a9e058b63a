"""Bookings: asked for at service-orders, given a table or refused here."""

from service_processor.domain import Domain
from service_processor.domains.bookings.handlers import HANDLERS

QUEUE = "processor.bookings"

BOOKINGS = Domain(name="bookings", queue=QUEUE, handlers=HANDLERS)

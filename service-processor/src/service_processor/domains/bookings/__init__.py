"""Bookings: asked for at service-orders, given a table or refused here."""

from contracts import PROCESSOR_BOOKINGS
from service_processor.domains.bookings.handlers import HANDLERS
from servicekit.service.domain import Domain

BOOKINGS = Domain(name="bookings", subscription=PROCESSOR_BOOKINGS, handlers=HANDLERS)

"""Bookings: service-orders stores them, and this service allocates a table or rejects them."""

from contracts.bookings import PROCESSOR_BOOKINGS
from service_processor.domains.bookings.handlers import on
from servicekit.service.domain import Domain

BOOKINGS = Domain(name="bookings", subscription=PROCESSOR_BOOKINGS, handlers=on)

"""The domains of this service; `make domain` adds one, as `docs/adding-a-domain.md` says."""

from service_processor.domains.bookings import BOOKINGS
from service_processor.domains.orders import orders
from service_processor.domains.payments import PAYMENTS
from service_processor.domains.restaurants import RESTAURANTS
from service_processor.domains.streams import STREAMS
from service_processor.domains.tickets import tickets
from service_processor.settings import Settings
from servicekit.service.domain import Domain


def domains(settings: Settings) -> tuple[Domain, ...]:
    """All domains with these settings."""
    return (orders(settings), RESTAURANTS, BOOKINGS, PAYMENTS, tickets(settings), STREAMS)

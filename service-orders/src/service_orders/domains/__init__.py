"""The domains of this service; `make domain` adds one, as `docs/adding-a-domain.md` says."""

from service_orders.domains.bookings import BOOKINGS
from service_orders.domains.orders import ORDERS
from service_orders.domains.rentals import RENTALS
from service_orders.domains.restaurants import RESTAURANTS
from service_orders.domains.streams import STREAMS
from service_orders.domains.tickets import TICKETS
from servicekit.service.domain import Domain

DOMAINS: tuple[Domain, ...] = (ORDERS, BOOKINGS, RENTALS, RESTAURANTS, TICKETS, STREAMS)

"""The domains of this service. Adding one is adding its name here."""

from service_orders.domain import Domain
from service_orders.domains.orders import ORDERS

DOMAINS: tuple[Domain, ...] = (ORDERS,)

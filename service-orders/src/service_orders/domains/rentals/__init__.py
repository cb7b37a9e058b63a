"""Rentals: this service offers and starts them, and service-processor moves the money."""

from contracts.rentals import ORDERS_RENTALS
from service_orders.domains.rentals.api import PROBLEMS, router
from service_orders.domains.rentals.handlers import on
from servicekit.service.domain import Domain

RENTALS = Domain(
    name="rentals", router=router, problems=PROBLEMS, subscription=ORDERS_RENTALS, handlers=on
)

"""Restaurants as service-processor tells of them: a copy, kept from its events."""

from service_orders.domain import Domain
from service_orders.domains.restaurants.api import PROBLEMS, router
from service_orders.domains.restaurants.handlers import HANDLERS

QUEUE = "orders.restaurants"

RESTAURANTS = Domain(
    name="restaurants", router=router, problems=PROBLEMS, queue=QUEUE, handlers=HANDLERS
)

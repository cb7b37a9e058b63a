"""Restaurants as service-processor tells of them: a copy, kept from its events."""

from service_orders.domains.restaurants.api import PROBLEMS, router
from service_orders.domains.restaurants.handlers import HANDLERS
from servicekit.service.domain import Domain

QUEUE = "orders.restaurants"

RESTAURANTS = Domain(
    name="restaurants", router=router, problems=PROBLEMS, queue=QUEUE, handlers=HANDLERS
)

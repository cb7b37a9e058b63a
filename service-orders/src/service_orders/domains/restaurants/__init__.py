"""Restaurants: a copy, built from the events of service-processor."""

from contracts.restaurants import ORDERS_RESTAURANTS
from service_orders.domains.restaurants.api import PROBLEMS, router
from service_orders.domains.restaurants.handlers import on
from servicekit.service.domain import Domain

RESTAURANTS = Domain(
    name="restaurants",
    router=router,
    problems=PROBLEMS,
    subscription=ORDERS_RESTAURANTS,
    handlers=on,
)

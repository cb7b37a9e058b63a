"""Restaurants, their tables, and reservations of a table by name."""

from service_processor.domains.restaurants.api import PROBLEMS, router
from servicekit.service.domain import Domain

RESTAURANTS = Domain(name="restaurants", router=router, problems=PROBLEMS)

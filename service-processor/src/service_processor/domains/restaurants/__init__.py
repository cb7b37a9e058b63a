"""Restaurants, their tables, and reservations of a table by name."""

from service_processor.domain import Domain
from service_processor.domains.restaurants.api import PROBLEMS, router

RESTAURANTS = Domain(name="restaurants", router=router, problems=PROBLEMS)

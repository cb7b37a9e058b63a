"""The read-only HTTP API of restaurants; service-processor is where they are changed."""

from __future__ import annotations

from collections.abc import Mapping

from service_orders.dependencies import Deps
from service_orders.domains.restaurants import repository
from service_orders.domains.restaurants.errors import UnknownRestaurant
from service_orders.domains.restaurants.schemas import RestaurantSummary, RestaurantView
from servicekit.http.fields import IntId
from servicekit.http.openapi import problem_responses
from servicekit.http.pagination import Page, PageQuery
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router

NOT_FOUND = ProblemSpec(404, "restaurant_not_found")

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {UnknownRestaurant: NOT_FOUND}

router = Router(prefix="/restaurants", tags=["restaurants"])


@router.get("", summary="List restaurants, newest first")
async def list_restaurants(deps: Deps, page: PageQuery) -> Page[RestaurantSummary]:
    """List the restaurants where guests can book, without their tables."""
    async with deps.work.read() as connection:
        return await repository.ROWS.page(connection, page, RestaurantSummary.model_validate)


@router.get("/{restaurant_id}", summary="Get a restaurant", responses=problem_responses(NOT_FOUND))
async def get_restaurant(restaurant_id: IntId, deps: Deps) -> RestaurantView:
    """Get a restaurant with its tables."""
    async with deps.work.read() as connection:
        found = await repository.ROWS.get(connection, restaurant_id)
        tables = await repository.tables_of(connection, restaurant_id)
    return RestaurantView.of(found, tables)

"""The HTTP API of restaurants, tables and reservations."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response

from service_processor.dependencies import Deps
from service_processor.domains.restaurants import repository, service
from service_processor.domains.restaurants.errors import (
    ReservationNotFound,
    RestaurantNotFound,
    TableAlreadyReserved,
    TableInUse,
    TableNotFound,
)
from service_processor.domains.restaurants.schemas import (
    AddRestaurant,
    AddTable,
    ReservationView,
    ReserveTable,
    RestaurantView,
    TableView,
)
from servicekit.http.app import API_BASE
from servicekit.http.fields import IntId
from servicekit.http.idempotency import Once
from servicekit.http.local_time import REFUSED_TIME, TimeRefused
from servicekit.http.openapi import problem_responses
from servicekit.http.pagination import Page, PageQuery
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router

NO_RESTAURANT = ProblemSpec(404, "restaurant_not_found")
NO_TABLE = ProblemSpec(404, "table_not_found")
NO_RESERVATION = ProblemSpec(404, "reservation_not_found")
IN_USE = ProblemSpec(409, "table_in_use", members=("period",))
RESERVED = ProblemSpec(409, "table_already_reserved", members=("period",))

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {
    RestaurantNotFound: NO_RESTAURANT,
    TableNotFound: NO_TABLE,
    ReservationNotFound: NO_RESERVATION,
    TableInUse: IN_USE,
    TableAlreadyReserved: RESERVED,
    TimeRefused: REFUSED_TIME,
}

router = Router(tags=["restaurants"])


@router.get("/restaurants", summary="List restaurants, newest first")
async def list_restaurants(deps: Deps, page: PageQuery) -> Page[RestaurantView]:
    """List all restaurants. `GET /tables?restaurant_id=` lists the tables of one."""
    async with deps.work.read() as connection:
        return await repository.RESTAURANTS.page(connection, page, RestaurantView.model_validate)


@router.post(
    "/restaurants", status_code=201, summary="Add a restaurant", response_model=RestaurantView
)
async def add_restaurant(body: AddRestaurant, deps: Deps, once: Once) -> Response:
    """Add a restaurant. Guests can book there as soon as it has tables."""
    id_ = await deps.seating.restaurant_ids.next()
    async with once.begin(deps.work) as unit:
        restaurant = await service.add_restaurant(unit, id_, body, deps.default_timezone)
        location = {"Location": f"{API_BASE}/restaurants/{restaurant.id}"}
        return once.answer(RestaurantView.model_validate(restaurant), location)


@router.get(
    "/restaurants/{restaurant_id}",
    summary="Get a restaurant",
    responses=problem_responses(NO_RESTAURANT),
)
async def get_restaurant(restaurant_id: IntId, deps: Deps) -> RestaurantView:
    """Get a restaurant without its tables: `GET /tables?restaurant_id=` lists those."""
    async with deps.work.read() as connection:
        found = await repository.RESTAURANTS.get(connection, restaurant_id)
    return RestaurantView.model_validate(found)


@router.get("/tables", summary="List tables, newest first")
async def list_tables(
    deps: Deps, page: PageQuery, restaurant_id: IntId | None = None
) -> Page[TableView]:
    """List tables, optionally of one restaurant. Deleted tables are left out."""
    async with deps.work.read() as connection:
        found = await repository.tables_of(connection, restaurant_id, page)
    return repository.TABLES.newest_first.page(found, page, TableView.model_validate)


@router.post(
    "/tables",
    status_code=201,
    summary="Add a table",
    response_model=TableView,
    responses=problem_responses(NO_RESTAURANT),
)
async def add_table(body: AddTable, deps: Deps, once: Once) -> Response:
    """Add a table to a restaurant. Without `restaurant_id` it goes to the oldest restaurant."""
    id_, known = await deps.seating.table_ids.next(), deps.seating.known_restaurants
    given = body.restaurant_id
    restaurant = await (known.first() if given is None else known.find(given))
    async with once.begin(deps.work) as unit:
        table = await service.add_table(unit, id_, body, restaurant)
        return once.answer(TableView.model_validate(table))


@router.delete(
    "/tables/{table_id}",
    status_code=204,
    summary="Delete a table",
    responses=problem_responses(NO_TABLE, IN_USE),
)
async def delete_table(table_id: IntId, deps: Deps) -> None:
    """Delete a table. This is refused while a reservation or booking of it has not ended."""
    restaurant = await deps.seating.known_restaurants.of_table(table_id)
    await service.delete_table(deps.work, table_id, restaurant)


@router.get("/reservations", summary="List reservations, newest first")
async def list_reservations(
    deps: Deps, page: PageQuery, table_id: IntId | None = None
) -> Page[ReservationView]:
    """List reservations, past ones included, optionally of one table."""
    async with deps.work.read() as connection:
        found = await repository.reservations_of(connection, table_id, page)
    return repository.RESERVATIONS.page(found, page, ReservationView.model_validate)


@router.post(
    "/reservations",
    status_code=201,
    summary="Reserve a table",
    response_model=ReservationView,
    responses=problem_responses(NO_TABLE, RESERVED),
)
async def reserve_table(body: ReserveTable, deps: Deps, once: Once) -> Response:
    """Reserve a table for a period in which it is free. A refusal names the conflicting period."""
    id_ = await deps.seating.allocation_ids.next()
    restaurant = await deps.seating.known_restaurants.of_table(body.table_id)

    async def reserve() -> Response:
        async with once.begin(deps.work) as unit:
            reservation = await service.reserve(unit, id_, body, restaurant)
            location = {"Location": f"{API_BASE}/reservations/{reservation.id}"}
            return once.answer(ReservationView.model_validate(reservation), location)

    async with deps.seating.reservation_limit:
        return await service.reserve_or_say_why(deps.work, reserve, body, restaurant)


@router.get(
    "/reservations/{reservation_id}",
    summary="Get a reservation",
    responses=problem_responses(NO_RESERVATION),
)
async def get_reservation(reservation_id: IntId, deps: Deps) -> ReservationView:
    """Get a reservation, also a past one."""
    async with deps.work.read() as connection:
        found = await repository.reservation(connection, reservation_id)
    if found is None:
        raise ReservationNotFound(reservation_id)
    return ReservationView.model_validate(found)


@router.delete(
    "/reservations/{reservation_id}",
    status_code=204,
    summary="Delete a reservation",
    responses=problem_responses(NO_RESERVATION),
)
async def delete_reservation(reservation_id: IntId, deps: Deps) -> None:
    """Delete a reservation. Its table is free again."""
    await service.delete_reservation(deps.work, reservation_id)

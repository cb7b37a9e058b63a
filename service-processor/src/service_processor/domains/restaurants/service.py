"""Use cases of restaurants, tables and reservations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from contracts.restaurants import (
    ReservationCreated,
    ReservationDeleted,
    RestaurantCreated,
    TableCreated,
    TableDeleted,
)
from outbox import UnitOfWork, Work
from service_processor.domains.restaurants import repository
from service_processor.domains.restaurants.errors import (
    Obstructed,
    RestaurantNotFound,
    TableAlreadyReserved,
    TableInUse,
    TableNotFound,
)
from service_processor.domains.restaurants.models import Reservation
from service_processor.domains.restaurants.schemas import AddRestaurant, AddTable, ReserveTable
from service_processor.seating.known_restaurants import KnownRestaurant
from service_processor.seating.models import DiningTable, Restaurant
from servicekit.http.local_time import period, shown

T = TypeVar("T")

ATTEMPTS = 3


async def add_restaurant(
    unit: UnitOfWork, id_: int, wanted: AddRestaurant, default_timezone: str
) -> Restaurant:
    """Add a restaurant and announce it."""
    restaurant = Restaurant(
        id_,
        wanted.name,
        wanted.address,
        wanted.description,
        wanted.timezone or default_timezone,
        datetime.now(UTC),
    )
    await repository.add_restaurant(unit, restaurant, restaurant_created(restaurant))
    return restaurant


async def add_table(
    unit: UnitOfWork, id_: int, wanted: AddTable, restaurant: KnownRestaurant | None
) -> DiningTable:
    """Add a table to a restaurant and announce it. Raises `RestaurantNotFound`."""
    if restaurant is None:
        raise RestaurantNotFound(wanted.restaurant_id)
    table = DiningTable(
        id_, restaurant.id, wanted.name, wanted.seats, wanted.location, datetime.now(UTC)
    )
    await repository.add_table(unit, table, table_created(table))
    return table


async def delete_table(work: Work, table_id: int, restaurant: KnownRestaurant | None) -> None:
    """Delete a table and announce it. Raises `TableNotFound` or `TableInUse`."""
    if restaurant is None:
        raise TableNotFound(table_id)
    zone = restaurant.zone

    async def delete() -> None:
        now = datetime.now(UTC)
        event = TableDeleted(restaurant_id=restaurant.id, table_id=table_id, deleted_at=now)
        with repository.refusal(table_id):
            async with work.begin() as unit:
                await repository.delete_table(unit, table_id, now, event)

    async def why(last: bool) -> TableInUse | None:
        now = datetime.now(UTC)
        async with work.read() as connection:
            found = await repository.obstacle(connection, table_id, now, None)
        if found is None or found.lower is None or found.upper is None:
            return TableInUse(table_id, shown(now, zone), shown(now, zone)) if last else None
        return TableInUse(table_id, shown(found.lower, zone), shown(found.upper, zone))

    await unobstructed(delete, why)


async def reserve(
    unit: UnitOfWork, id_: int, wanted: ReserveTable, restaurant: KnownRestaurant | None
) -> Reservation:
    """Reserve a table for a period and announce it.

    Raises `TableNotFound` or `TimeRefused`. The commit raises what `repository.refusal` reads.
    """
    if restaurant is None:
        raise TableNotFound(wanted.table_id)
    now = datetime.now(UTC)
    begin, end = period(
        wanted.reservation_time,
        restaurant.zone,
        wanted.duration_minutes,
        now=now,
        field="reservation_time",
    )
    reservation = Reservation(
        id_, wanted.table_id, wanted.customer_name, begin, end, restaurant.zone, now
    )
    await repository.reserve(unit, reservation, _reserved(reservation))
    return reservation


async def reserve_or_say_why(
    work: Work,
    run: Callable[[], Awaitable[T]],
    wanted: ReserveTable,
    restaurant: KnownRestaurant | None,
) -> T:
    """Run a reservation, up to its commit. Raises `TableNotFound` or `TableAlreadyReserved`."""

    async def reserve() -> T:
        with repository.refusal(wanted.table_id):
            return await run()

    async def why(last: bool) -> TableAlreadyReserved | None:
        assert restaurant is not None  # `reserve` refuses it otherwise
        zone, table_id = restaurant.zone, wanted.table_id
        begin, end = period(
            wanted.reservation_time,
            zone,
            wanted.duration_minutes,
            now=datetime.min.replace(tzinfo=UTC),
            field="reservation_time",
        )
        async with work.read() as connection:
            found = await repository.obstacle(connection, table_id, begin, end)
        if found is None or found.lower is None or found.upper is None:
            refusal = TableAlreadyReserved(table_id, shown(begin, zone), shown(end, zone))
            return refusal if last else None
        return TableAlreadyReserved(table_id, shown(found.lower, zone), shown(found.upper, zone))

    return await unobstructed(reserve, why)


async def delete_reservation(work: Work, reservation_id: int) -> None:
    """Delete a reservation and announce it. Raises `ReservationNotFound`."""
    now = datetime.now(UTC)
    event = ReservationDeleted(reservation_id=reservation_id, deleted_at=now)
    with repository.refusal(reservation_id):
        async with work.begin() as unit:
            await repository.delete_reservation(unit, reservation_id, now, event)


async def unobstructed(
    run: Callable[[], Awaitable[T]], why: Callable[[bool], Awaitable[Exception | None]]
) -> T:
    """Run; if an allocation is in the way, raise the exception from `why`, which names it.

    The allocation may be gone before `why` reads it: then `why` returns None and `run` is tried
    again. `why` gets True after the last attempt, and has to return an exception then.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return await run()
        except Obstructed:
            if refusal := await why(attempt == ATTEMPTS):
                raise refusal from None
    raise AssertionError("the last attempt has an answer")


def restaurant_created(restaurant: Restaurant) -> RestaurantCreated:
    return RestaurantCreated(
        restaurant_id=restaurant.id,
        name=restaurant.name,
        address=restaurant.address,
        description=restaurant.description,
        timezone=restaurant.timezone,
        created_at=restaurant.created_at,
    )


def table_created(table: DiningTable) -> TableCreated:
    return TableCreated(
        restaurant_id=table.restaurant_id,
        table_id=table.id,
        name=table.name,
        seats=table.seats,
        location=table.location,
        created_at=table.created_at,
    )


def _reserved(reservation: Reservation) -> ReservationCreated:
    return ReservationCreated(
        reservation_id=reservation.id,
        table_id=reservation.table_id,
        customer_name=reservation.customer_name,
        starts_at=reservation.begin,
        ends_at=reservation.end,
        created_at=reservation.created_at,
    )

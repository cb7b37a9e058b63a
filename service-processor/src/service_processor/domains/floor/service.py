"""What can be done with restaurants, tables and reservations; the caller began the transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from contracts import (
    ReservationCreated,
    ReservationDeleted,
    RestaurantCreated,
    TableCreated,
    TableDeleted,
)
from outbox import SingleWrite, UnitOfWork, Work
from service_processor.domains.floor import repository
from service_processor.domains.floor.errors import (
    Obstructed,
    RestaurantNotFound,
    TableAlreadyReserved,
    TableInUse,
    TableNotFound,
)
from service_processor.domains.floor.models import DiningTable, Reservation, Restaurant
from service_processor.domains.floor.schemas import AddRestaurant, AddTable, Reserve
from service_processor.seating.places import Place
from servicekit.http.local_time import period, shown

Unit = UnitOfWork | SingleWrite
T = TypeVar("T")

ATTEMPTS = 3


async def add_restaurant(
    unit: Unit, id_: int, wanted: AddRestaurant, default_timezone: str
) -> Restaurant:
    """Open a restaurant, and say so."""
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


async def add_table(unit: Unit, id_: int, wanted: AddTable, place: Place | None) -> DiningTable:
    """Put a table into a restaurant, and say so. Raises `RestaurantNotFound`."""
    if place is None:
        raise RestaurantNotFound(wanted.restaurant_id)
    table = DiningTable(
        id_, place.restaurant_id, wanted.name, wanted.seats, wanted.location, datetime.now(UTC)
    )
    await repository.add_table(unit, table, table_created(table))
    return table


async def delete_table(work: Work, table_id: int, place: Place | None) -> None:
    """Take a table away, and say so. Raises `TableNotFound` or `TableInUse`."""
    if place is None:
        raise TableNotFound(table_id)
    zone = place.zone

    async def delete() -> None:
        now = datetime.now(UTC)
        event = TableDeleted(restaurant_id=place.restaurant_id, table_id=table_id, deleted_at=now)
        async with work.single() as unit:
            await repository.delete_table(unit, table_id, now, event)

    async def why(last: bool) -> TableInUse | None:
        now = datetime.now(UTC)
        async with work.read() as connection:
            found = await repository.obstacle(connection, table_id, now, None)
        if found is None or found.lower is None or found.upper is None:
            return TableInUse(table_id, shown(now, zone), shown(now, zone)) if last else None
        return TableInUse(table_id, shown(found.lower, zone), shown(found.upper, zone))

    await unobstructed(delete, why)


async def reserve(unit: Unit, id_: int, wanted: Reserve, place: Place | None) -> Reservation:
    """Hold a table for a period, and say so.

    Raises `TableNotFound`, `TimeRefused`, or `Obstructed` if somebody else holds it then.
    """
    if place is None:
        raise TableNotFound(wanted.table_id)
    now = datetime.now(UTC)
    begin, end = period(
        wanted.reservation_time,
        place.zone,
        wanted.duration_minutes,
        now=now,
        field="reservation_time",
    )
    reservation = Reservation(
        id_, wanted.table_id, wanted.customer_name, begin, end, place.zone, now
    )
    await repository.reserve(unit, reservation, _reserved(reservation))
    return reservation


async def reserve_or_say_why(
    work: Work, run: Callable[[], Awaitable[T]], wanted: Reserve, place: Place | None
) -> T:
    """Run a reservation. Raises `TableAlreadyReserved` with the period that is in the way."""

    async def why(last: bool) -> TableAlreadyReserved | None:
        assert place is not None  # else it was refused before
        zone, table_id = place.zone, wanted.table_id
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
            taken = TableAlreadyReserved(table_id, shown(begin, zone), shown(end, zone))
            return taken if last else None
        return TableAlreadyReserved(table_id, shown(found.lower, zone), shown(found.upper, zone))

    return await unobstructed(run, why)


async def give_back(unit: Unit, reservation_id: int) -> None:
    """Take a reservation back, and say so. Raises `ReservationNotFound`."""
    now = datetime.now(UTC)
    event = ReservationDeleted(reservation_id=reservation_id, deleted_at=now)
    await repository.give_back(unit, reservation_id, now, event)


async def unobstructed(
    run: Callable[[], Awaitable[T]], why: Callable[[bool], Awaitable[Exception | None]]
) -> T:
    """Run, and if an allocation is in the way raise what names it.

    It may have gone before it could be looked at; then run anew. `why` is told when it is the
    last time, and has an answer then.
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

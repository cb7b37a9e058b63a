"""Bookings over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import Depends, Request, Response

from outbox import SingleWrite, UnitOfWork
from service_orders.dependencies import BookingLimit, RestaurantZones, Waiters, Work, Zones
from service_orders.domains.bookings import repository, service
from service_orders.domains.bookings.errors import BookingNotFound, RestaurantNotFound
from service_orders.domains.bookings.models import Booking
from service_orders.domains.bookings.schemas import Book, BookingHistory, BookingView
from service_orders.domains.bookings.states import BookingStatus, IllegalTransition, is_settled
from servicekit.database.dataloader import DataLoader
from servicekit.database.id_allocation import IdBlocks
from servicekit.http.app import API_BASE
from servicekit.http.fields import IntId, WaitSeconds
from servicekit.http.idempotency import Answer, Once
from servicekit.http.local_time import REFUSED_TIME, TimeRefused
from servicekit.http.openapi import problem_responses
from servicekit.http.pagination import Page, PageQuery
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router

NOT_FOUND = ProblemSpec(404, "booking_not_found")
NO_RESTAURANT = ProblemSpec(404, "restaurant_not_found")
ILLEGAL_TRANSITION = ProblemSpec(409, "illegal_transition", members=("allowed",))

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {
    BookingNotFound: NOT_FOUND,
    RestaurantNotFound: NO_RESTAURANT,
    IllegalTransition: ILLEGAL_TRANSITION,
    TimeRefused: REFUSED_TIME,
}

router = Router(prefix="/bookings", tags=["bookings"])


async def _bookings(request: Request, work: Work) -> DataLoader[int, Booking]:
    """One reader per process, so that a crowd of readers is served by few statements."""
    state = request.app.state
    if not hasattr(state, "bookings"):
        state.bookings = DataLoader[int, Booking](partial(repository.find_all, work))
    bookings: DataLoader[int, Booking] = state.bookings
    return bookings


@dataclass(frozen=True)
class _Desk:
    """What it takes to take a booking."""

    ids: IdBlocks
    zones: RestaurantZones
    furthest: timedelta


async def _desk(request: Request, work: Work, zones: Zones, furthest: BookingLimit) -> _Desk:
    state = request.app.state
    if not hasattr(state, "booking_ids"):
        state.booking_ids = IdBlocks(work.engine, "bookings_id_seq")
    return _Desk(state.booking_ids, zones, furthest)


Bookings = Annotated[DataLoader[int, Booking], Depends(_bookings)]
Desk = Annotated[_Desk, Depends(_desk)]


@router.post(
    "",
    status_code=201,
    summary="Ask for a table",
    response_model=BookingView,
    responses=problem_responses(NO_RESTAURANT),
)
async def book(body: Book, work: Work, desk: Desk, once: Once) -> Response:
    """Whether there is one is answered later: `GET /bookings/{id}?wait=10`."""
    id_, zone = await desk.ids.next(), await desk.zones.of(body.restaurant_id)

    async def act(unit: UnitOfWork | SingleWrite) -> Answer:
        booking = await service.ask(unit, id_, body, zone, furthest=desk.furthest)
        location = {"Location": f"{API_BASE}/bookings/{booking.id}"}
        return Answer(BookingView.of(booking), location)

    return await once.run(work.begin, act, without_key=work.single)


@router.get("", summary="Bookings, newest first")
async def list_bookings(
    work: Work,
    page: PageQuery,
    restaurant_id: IntId | None = None,
    status: BookingStatus | None = None,
) -> Page[BookingView]:
    """At all restaurants or at one, in any status or in one."""
    wanted = repository.newest(restaurant_id=restaurant_id, status=status)
    async with work.read() as connection:
        found = await repository.page_of(connection, wanted, page)
    return repository.NEWEST_FIRST.page(found, page, BookingView.of)


@router.get("/{booking_id}", summary="A booking", responses=problem_responses(NOT_FOUND))
async def get_booking(
    booking_id: IntId, bookings: Bookings, waiters: Waiters, wait: WaitSeconds = 0
) -> BookingView:
    """With `?wait=`, answers as soon as the booking is confirmed, rejected or cancelled."""

    async def read() -> Booking:
        booking = await bookings.get(booking_id)
        if booking is None:
            raise BookingNotFound(booking_id)
        return booking

    found = await waiters.until_settled(
        service.key_of(booking_id), read, lambda booking: is_settled(booking.status), wait
    )
    return BookingView.of(found)


@router.post(
    "/{booking_id}/cancel",
    summary="Cancel a booking",
    responses=problem_responses(NOT_FOUND, ILLEGAL_TRANSITION),
    response_model=BookingView,
)
async def cancel_booking(booking_id: IntId, work: Work, once: Once) -> Response:
    """At any time, confirmed or not; its table is free again. Rejected or cancelled: 409."""

    async def act(unit: UnitOfWork) -> Answer:
        return Answer(BookingView.of(await service.cancel(unit, booking_id)))

    return await once.run(work.begin, act)


@router.get(
    "/{booking_id}/history",
    summary="What has become of a booking",
    responses=problem_responses(NOT_FOUND),
)
async def get_history(booking_id: IntId, work: Work) -> BookingHistory:
    """Every status the booking has had, oldest first, with the event that caused it."""
    async with work.read() as connection:
        await service.get(connection, booking_id)
        return BookingHistory.of(await repository.history_of(connection, booking_id))

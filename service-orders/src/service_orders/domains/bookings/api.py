"""The HTTP API of bookings."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import Response

from service_orders.dependencies import Deps
from service_orders.domains.bookings import repository, service
from service_orders.domains.bookings.errors import BookingNotFound, RestaurantNotFound
from service_orders.domains.bookings.models import booking_history
from service_orders.domains.bookings.schemas import BookingView, BookTable
from service_orders.domains.bookings.states import BookingStatus
from servicekit.http.app import API_BASE
from servicekit.http.fields import IntId, WaitSeconds
from servicekit.http.idempotency import Once
from servicekit.http.local_time import REFUSED_TIME, TimeRefused
from servicekit.http.openapi import problem_responses
from servicekit.http.pagination import Page, PageQuery
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router
from servicekit.service.history import HistoryView
from servicekit.service.lifecycle import ILLEGAL_TRANSITION, IllegalTransition

NOT_FOUND = ProblemSpec(404, "booking_not_found")
NO_RESTAURANT = ProblemSpec(404, "restaurant_not_found")

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {
    BookingNotFound: NOT_FOUND,
    RestaurantNotFound: NO_RESTAURANT,
    IllegalTransition: ILLEGAL_TRANSITION,
    TimeRefused: REFUSED_TIME,
}

router = Router(prefix="/bookings", tags=["bookings"])


@router.post(
    "",
    status_code=201,
    summary="Book a table",
    response_model=BookingView,
    responses=problem_responses(NO_RESTAURANT),
)
async def book_table(body: BookTable, deps: Deps, once: Once) -> Response:
    """Ask for a table. `GET /bookings/{id}?wait=10` answers later whether there is one."""
    id_ = await deps.booking_ids.next()
    zone = await deps.restaurant_zones.of(body.restaurant_id)
    async with once.begin(deps.work) as unit:
        booking = await service.ask(unit, id_, body, zone, furthest=deps.booking_limit)
        location = {"Location": f"{API_BASE}/bookings/{booking.id}"}
        return once.answer(BookingView.model_validate(booking), location)


@router.get("", summary="List bookings, newest first")
async def list_bookings(
    deps: Deps,
    page: PageQuery,
    restaurant_id: IntId | None = None,
    status: BookingStatus | None = None,
) -> Page[BookingView]:
    """List bookings, optionally filtered by restaurant and status."""
    async with deps.work.read() as connection:
        return await repository.ROWS.page(
            connection, page, BookingView.model_validate, restaurant_id=restaurant_id, status=status
        )


@router.get("/{booking_id}", summary="Get a booking", responses=problem_responses(NOT_FOUND))
async def get_booking(booking_id: IntId, deps: Deps, wait: WaitSeconds = 0) -> BookingView:
    """Get a booking. With `?wait=` the answer comes when it is confirmed, rejected or cancelled."""
    found = await service.CHANGES.settled(
        deps.waiters, deps.readers.of(repository.ROWS), booking_id, wait
    )
    return BookingView.model_validate(found)


@router.post(
    "/{booking_id}/cancel",
    summary="Cancel a booking",
    responses=problem_responses(NOT_FOUND, ILLEGAL_TRANSITION),
    response_model=BookingView,
)
async def cancel_booking(booking_id: IntId, deps: Deps, once: Once) -> Response:
    """Cancel a booking, confirmed or not, and free its table.

    A booking that is rejected or cancelled cannot be cancelled: the answer is 409.
    """
    async with once.begin(deps.work) as unit:
        return once.answer(BookingView.model_validate(await service.cancel(unit, booking_id)))


@router.get(
    "/{booking_id}/history",
    summary="Get the history of a booking",
    responses=problem_responses(NOT_FOUND),
)
async def get_booking_history(booking_id: IntId, deps: Deps) -> HistoryView:
    """Get every status the booking has had, oldest first, with the event that caused it."""
    async with deps.work.read() as connection:
        await repository.ROWS.get(connection, booking_id)
        return HistoryView.of(await booking_history.of(connection, booking_id))

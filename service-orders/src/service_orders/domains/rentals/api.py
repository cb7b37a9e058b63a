"""The HTTP API of offers and rentals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response

from service_orders.dependencies import Deps
from service_orders.domains.rentals import metrics, repository, service
from service_orders.domains.rentals.errors import (
    OfferExpired,
    OfferInvalid,
    OffersUnavailable,
    OfferUsed,
    RentalNotActive,
    RentalNotFound,
    ScooterInUse,
    ScooterNotFound,
    StartRefused,
    UserHasDebt,
    UserNotFound,
)
from service_orders.domains.rentals.schemas import (
    AskForOffer,
    OfferView,
    ReceiptView,
    RentalView,
    StartRental,
)
from service_orders.domains.rentals.states import RentalStatus
from servicekit.http.app import API_BASE
from servicekit.http.fields import WaitSeconds
from servicekit.http.idempotency import Once
from servicekit.http.openapi import problem_responses
from servicekit.http.pagination import Page, PageQuery
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router
from servicekit.service.history import HistoryView

NOT_FOUND = ProblemSpec(404, "rental_not_found")
NO_SCOOTER = ProblemSpec(404, "scooter_not_found")
NO_USER = ProblemSpec(404, "user_not_found")
DEBT = ProblemSpec(409, "user_has_debt")
UNAVAILABLE = ProblemSpec(503, "offers_unavailable", headers=(("Retry-After", "5"),))
INVALID = ProblemSpec(400, "offer_invalid")
EXPIRED = ProblemSpec(400, "offer_expired")
USED = ProblemSpec(409, "offer_used")
IN_USE = ProblemSpec(409, "scooter_in_use")
NOT_ACTIVE = ProblemSpec(409, "rental_not_active")

PROBLEMS: Mapping[type[Exception], ProblemSpec] = {
    RentalNotFound: NOT_FOUND,
    ScooterNotFound: NO_SCOOTER,
    UserNotFound: NO_USER,
    UserHasDebt: DEBT,
    OffersUnavailable: UNAVAILABLE,
    OfferInvalid: INVALID,
    OfferExpired: EXPIRED,
    OfferUsed: USED,
    ScooterInUse: IN_USE,
    RentalNotActive: NOT_ACTIVE,
}

router = Router(tags=["rentals"])


@router.post(
    "/offers",
    status_code=201,
    summary="Ask what a ride costs",
    response_model=OfferView,
    responses=problem_responses(NO_SCOOTER, NO_USER, DEBT, UNAVAILABLE),
)
async def ask_for_offer(body: AskForOffer, deps: Deps, once: Once) -> Response:
    """Ask for an offer. It is valid until `expires_at` and for one rental; it reserves nothing."""
    issuer = deps.offer_issuer
    offer, token = await issuer.offer(deps.work, body.user_id, body.scooter_id)
    async with once.begin(deps.work):
        return once.answer(OfferView.of(offer, token))


@router.post(
    "/rentals",
    status_code=201,
    summary="Start a rental",
    response_model=RentalView,
    responses=problem_responses(INVALID, EXPIRED, USED, IN_USE, UNAVAILABLE),
)
async def start_rental(
    body: StartRental, deps: Deps, once: Once, wait: WaitSeconds = 0
) -> Response:
    """Start a rental with the token of an offer. The ride begins when the deposit is held.

    With `?wait=` the answer comes when that is decided.
    """
    try:
        async with once.begin(deps.work) as unit:
            rental = await service.start(unit, deps.offer_issuer.read(body.token))
            location = {"Location": f"{API_BASE}/rentals/{rental.id}"}
            response = once.answer(RentalView.of(rental), location)
    except StartRefused as refused:
        metrics.REFUSALS.labels(refused.reason).inc()
        raise
    if not wait:
        return response
    settled = RentalView.of(
        await service.CHANGES.settled(deps.waiters, deps.rentals, rental.id, wait)
    )
    return Response(settled.model_dump_json(), 201, location, "application/json")


@router.get("/rentals", summary="List rentals, newest first")
async def list_rentals(
    deps: Deps,
    page: PageQuery,
    user_id: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
    status: RentalStatus | None = None,
) -> Page[RentalView]:
    """List rentals, optionally filtered by user and status."""
    async with deps.work.read() as connection:
        return await repository.ROWS.page(
            connection, page, RentalView.of, user_id=user_id, status=status
        )


@router.get("/rentals/{rental_id}", summary="Get a rental", responses=problem_responses(NOT_FOUND))
async def get_rental(rental_id: UUID, deps: Deps, wait: WaitSeconds = 0) -> RentalView:
    """Get a rental. With `?wait=` the answer comes when its payment is decided."""
    rental = await service.CHANGES.settled(deps.waiters, deps.rentals, rental_id, wait)
    return RentalView.of(rental)


@router.post(
    "/rentals/{rental_id}/finish",
    summary="Finish a ride",
    responses=problem_responses(NOT_FOUND, NOT_ACTIVE),
    response_model=ReceiptView,
)
async def finish_rental(rental_id: UUID, deps: Deps, once: Once) -> Response:
    """Finish a ride and free its scooter. A second call gets the same answer and costs nothing.

    The payment follows; `GET /rentals/{id}?wait=10` says how it ended.
    """
    if not once.has_key:
        finished = await deps.rental_finisher.finish(rental_id)
        return once.answer(ReceiptView.model_validate(finished))
    async with once.begin(deps.work) as unit:
        return once.answer(ReceiptView.model_validate(await service.finish(unit, rental_id)))


@router.get(
    "/rentals/{rental_id}/history",
    summary="Get the history of a rental",
    responses=problem_responses(NOT_FOUND),
)
async def get_rental_history(rental_id: UUID, deps: Deps) -> HistoryView:
    """Get every status the rental has had, oldest first, with the event that caused it."""
    async with deps.work.read() as connection:
        entries = await repository.history_of(connection, rental_id)
    if entries is None:
        raise RentalNotFound(rental_id)
    return HistoryView.of(entries)

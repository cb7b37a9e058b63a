"""Offers and rentals over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Query, Request, Response

from outbox import UnitOfWork
from service_orders.dependencies import Waiters, Work
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
from service_orders.domains.rentals.finishing import Finisher
from service_orders.domains.rentals.models import Rental
from service_orders.domains.rentals.offer_issuer import OfferIssuer
from service_orders.domains.rentals.schemas import (
    AskForOffer,
    OfferView,
    ReceiptView,
    RentalHistory,
    RentalView,
    StartRental,
)
from service_orders.domains.rentals.states import RentalStatus, is_settled
from servicekit.database.dataloader import DataLoader
from servicekit.http.app import API_BASE
from servicekit.http.fields import WaitSeconds
from servicekit.http.idempotency import Answer, Once
from servicekit.http.openapi import problem_responses
from servicekit.http.pagination import Page, PageQuery
from servicekit.http.problems import ProblemSpec
from servicekit.http.routing import Router

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


async def _desk(request: Request) -> OfferIssuer:
    desk: OfferIssuer = request.app.state.offer_issuer
    return desk


@dataclass(frozen=True)
class _Reader:
    """Reads rentals, now or once they are settled."""

    rentals: DataLoader[UUID, Rental]
    waiters: Waiters

    async def get(self, rental_id: UUID) -> Rental:
        """Raises `RentalNotFound`."""
        rental = await self.rentals.get(rental_id)
        if rental is None:
            raise RentalNotFound(rental_id)
        return rental

    async def settled(self, rental_id: UUID, seconds: float) -> Rental:
        """The rental, at the latest when the time is up. Raises `RentalNotFound`."""
        return await self.waiters.until_settled(
            service.key_of(rental_id),
            lambda: self.get(rental_id),
            lambda rental: is_settled(rental.status),
            seconds,
        )


async def _reader(request: Request, work: Work, waiters: Waiters) -> _Reader:
    """One per process, so that a crowd of readers is served by few statements."""
    state = request.app.state
    if not hasattr(state, "rentals"):
        rentals = DataLoader[UUID, Rental](partial(repository.find_all, work))
        state.rentals = _Reader(rentals, waiters)
    reader: _Reader = state.rentals
    return reader


Desk = Annotated[OfferIssuer, Depends(_desk)]


async def _finisher(request: Request, work: Work) -> Finisher:
    state = request.app.state
    if not hasattr(state, "finisher"):
        state.finisher = Finisher(work)
    finisher: Finisher = state.finisher
    return finisher


Finishes = Annotated[Finisher, Depends(_finisher)]
Reader = Annotated[_Reader, Depends(_reader)]


@router.post(
    "/offers",
    status_code=201,
    summary="Ask what a ride costs",
    response_model=OfferView,
    responses=problem_responses(NO_SCOOTER, NO_USER, DEBT, UNAVAILABLE),
)
async def make_offer(body: AskForOffer, work: Work, desk: Desk, once: Once) -> Response:
    """The offer holds for five minutes, and for one rental. Nothing is reserved by it."""
    offer, token = await desk.offer(work, body.user_id, body.scooter_id)

    async def act(_unit: UnitOfWork) -> Answer:
        return Answer(OfferView.of(offer, token))

    return await once.run(work.begin, act)


@router.post(
    "/rentals",
    status_code=201,
    summary="Start a rental",
    response_model=RentalView,
    responses=problem_responses(INVALID, EXPIRED, USED, IN_USE, UNAVAILABLE),
)
async def start_rental(
    body: StartRental, work: Work, *, desk: Desk, once: Once, reader: Reader, wait: WaitSeconds = 0
) -> Response:
    """The ride begins once the deposit is held. With `?wait=`, answers when that is decided."""
    started: list[UUID] = []

    async def act(unit: UnitOfWork) -> Answer:
        rental = await service.start(unit, desk.read(body.token))
        started.append(rental.id)
        return Answer(RentalView.of(rental), {"Location": f"{API_BASE}/rentals/{rental.id}"})

    try:
        response = await once.run(work.begin, act)
    except StartRefused as refused:
        metrics.REFUSALS.labels(refused.reason).inc()
        raise
    if not started or not wait:
        return response
    settled = RentalView.of(await reader.settled(started[0], wait))
    location = {"Location": response.headers["Location"]}
    return Response(settled.model_dump_json(), 201, location, "application/json")


@router.get("/rentals", summary="Rentals, newest first")
async def list_rentals(
    work: Work,
    page: PageQuery,
    user_id: Annotated[str | None, Query(min_length=1, max_length=255)] = None,
    status: RentalStatus | None = None,
) -> Page[RentalView]:
    """List rentals, optionally filtered by user and status."""
    wanted = repository.newest(user_id=user_id, status=status)
    async with work.read() as connection:
        found = await repository.page_of(connection, wanted, page)
    return repository.NEWEST_FIRST.page(found, page, RentalView.of)


@router.get("/rentals/{rental_id}", summary="A rental", responses=problem_responses(NOT_FOUND))
async def get_rental(rental_id: UUID, reader: Reader, wait: WaitSeconds = 0) -> RentalView:
    """With `?wait=`, answers as soon as nothing is awaited from the payment provider."""
    return RentalView.of(await reader.settled(rental_id, wait))


@router.post(
    "/rentals/{rental_id}/finish",
    summary="Finish a ride",
    responses=problem_responses(NOT_FOUND, NOT_ACTIVE),
    response_model=ReceiptView,
)
async def finish_rental(rental_id: UUID, work: Work, finisher: Finishes, once: Once) -> Response:
    """The ride ends now, and the scooter is free. Again: the same answer, and nothing is charged.

    The money is taken after that; `GET /rentals/{id}?wait=10` says what came of it.
    """

    async def act(unit: UnitOfWork | None) -> Answer:
        if unit is None:
            return Answer(ReceiptView.of(await finisher.finish(rental_id)))
        return Answer(ReceiptView.of(await service.finish(unit, rental_id)))

    return await once.run(work.begin, act, without_key=nullcontext)


@router.get(
    "/rentals/{rental_id}/history",
    summary="What has become of a rental",
    responses=problem_responses(NOT_FOUND),
)
async def get_history(rental_id: UUID, work: Work) -> RentalHistory:
    """Every status the rental has had, oldest first, with the event that caused it."""
    async with work.read() as connection:
        entries = await repository.history_of(connection, rental_id)
    if entries is None:
        raise RentalNotFound(rental_id)
    return RentalHistory.of(entries)

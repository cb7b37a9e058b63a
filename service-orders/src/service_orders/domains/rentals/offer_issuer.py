"""Issues offers, and reads their tokens back.

The external systems are called concurrently, except that the tariff needs the scooter first. A
refusal comes within `PATIENCE` seconds, however slow the systems are.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from outbox import Work
from service_orders.domains.rentals import metrics, pricing, repository
from service_orders.domains.rentals.errors import (
    OfferRefused,
    OffersUnavailable,
    ScooterNotFound,
    UserHasDebt,
    UserNotFound,
)
from service_orders.domains.rentals.external import Externals
from service_orders.domains.rentals.external_answers import ScooterData
from service_orders.domains.rentals.offers import Offer, Signer
from service_orders.domains.rentals.pricing import Rider, Tariff
from servicekit.http.client import NotThere, Unavailable

PATIENCE = 1.3
"""Seconds for all calls; one call may take one second, and two may be slow."""


@dataclass(frozen=True)
class OfferIssuer:
    """Issues offers; without a signer every offer is refused."""

    externals: Externals
    signer: Signer | None
    ttl: timedelta
    patience: float = PATIENCE

    async def offer(self, work: Work, user_id: str, scooter_id: str) -> tuple[Offer, str]:
        """A new offer and its token. Raises one of `OfferRefused`."""
        try:
            made = await self._offer(work, user_id, scooter_id)
        except OfferRefused as refused:
            metrics.OFFERS.labels("refused").inc()
            metrics.REFUSALS.labels(refused.reason).inc()
            raise
        metrics.OFFERS.labels("made").inc()
        return made

    def read(self, token: str) -> Offer:
        """The offer in a token. Raises `OfferExpired`, `OfferInvalid` or `OffersUnavailable`."""
        if self.signer is None:
            raise OffersUnavailable("there is no key to read it with")
        return self.signer.read(token)

    async def _offer(self, work: Work, user_id: str, scooter_id: str) -> tuple[Offer, str]:
        if self.signer is None:
            raise OffersUnavailable("there is no key to sign it with")
        scooter, tariff, rider = await self._asked(user_id, scooter_id)
        async with work.read() as connection:
            own_debt = await repository.debt_of(connection, user_id)
        if debt := rider.current_debt + own_debt:
            raise UserHasDebt(debt)
        price = pricing.quote(tariff, scooter.charge, rider, self.externals.rules)
        offer = Offer.until(user_id, scooter_id, scooter.zone_id, price, ttl=self.ttl)
        return offer, self.signer.token(offer)

    async def _asked(self, user_id: str, scooter_id: str) -> tuple[ScooterData, Tariff, Rider]:
        try:
            async with asyncio.timeout(self.patience):
                (scooter, tariff), rider = await asyncio.gather(
                    self._scooter(scooter_id), self._rider(user_id)
                )
        except TimeoutError:
            raise OffersUnavailable("external systems are too slow") from None
        except Unavailable as problem:
            raise OffersUnavailable(f"{problem.system} cannot be reached") from None
        return scooter, tariff, rider

    async def _scooter(self, scooter_id: str) -> tuple[ScooterData, Tariff]:
        try:
            scooter = await self.externals.scooter(scooter_id)
        except NotThere:
            raise ScooterNotFound(scooter_id) from None
        return scooter, await self.externals.tariff(scooter.zone_id)

    async def _rider(self, user_id: str) -> Rider:
        try:
            return await self.externals.rider(user_id)
        except NotThere:
            raise UserNotFound(user_id) from None

"""The external systems that offers need, and how long their answers are trusted.

A scooter is always asked, because an old charge makes a wrong price. Tariffs are trusted for a
minute, or for ten while their system is away. Profiles are trusted for five seconds, or for ten
minutes while their system is away; after that an offer has cautious terms. Configs are read in the
background, so an offer never waits for them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from service_orders.domains.rentals.external_answers import (
    Configs,
    Said,
    ScooterData,
    TariffZoneData,
    UserProfile,
)
from service_orders.domains.rentals.pricing import Rider, Rules, Tariff
from servicekit.cache.stale_if_error import StaleIfErrorCache
from servicekit.http.client import TIMEOUT, ExternalSystem, NotThere, Unavailable

logger = logging.getLogger(__name__)

TARIFF_FRESH, TARIFF_KEPT = 60.0, 600.0
PROFILE_FRESH, PROFILE_KEPT = 5.0, 600.0
CONFIGS_EVERY, CONFIGS_AGAIN = 30.0, 2.0


class Externals:
    """All external systems, over one HTTP client. `timeout` is per call, in seconds."""

    def __init__(self, http: httpx.AsyncClient, *, timeout: float = TIMEOUT) -> None:
        self._scooters = ExternalSystem("scooters", http, timeout=timeout)
        self._tariffs = ExternalSystem("tariffs", http, timeout=timeout)
        self._profiles = ExternalSystem("profiles", http, timeout=timeout)
        self._configs = ExternalSystem("configs", http, timeout=timeout)
        self._known_tariffs = StaleIfErrorCache(
            "tariffs", self._ask_tariff, fresh=TARIFF_FRESH, kept=TARIFF_KEPT
        )
        self._known_riders = StaleIfErrorCache(
            "profiles", self._ask_rider, fresh=PROFILE_FRESH, kept=PROFILE_KEPT
        )
        self.rules = Rules()
        """The rules of the last answer, else the built-in ones."""

    async def scooter(self, scooter_id: str) -> ScooterData:
        """The scooter as it is now. Raises `NotThere` or `Unavailable`."""
        found = await self._scooters.get("/scooter-data", ScooterData, id=scooter_id)
        self._expect(self._scooters, scooter_id, found.id)
        return found

    async def tariff(self, zone_id: str) -> Tariff:
        """The tariff of a zone. Raises `Unavailable`, also for an unknown zone."""
        try:
            return await self._known_tariffs.get(zone_id)
        except NotThere as problem:
            raise Unavailable("tariffs", str(problem)) from None

    async def rider(self, user_id: str) -> Rider:
        """The user's terms; cautious ones while the system is away. Raises `NotThere`."""
        try:
            return await self._known_riders.get(user_id)
        except Unavailable as problem:
            logger.warning("cautious terms for a user: %s", problem)
            return Rider()

    async def refresh_rules(self) -> bool:
        """Read the configs once; after a failure the rules stay. Returns whether it worked."""
        try:
            self.rules = rules_of(await self._configs.get("/configs", Configs), self.rules)
        except (Unavailable, NotThere) as problem:
            logger.warning("the rules of prices stay as they are: %s", problem)
            return False
        return True

    @asynccontextmanager
    async def refreshing(self) -> AsyncIterator[None]:
        """Read the configs at the start, and again and again until the block ends."""
        await self.refresh_rules()
        task = asyncio.create_task(self._keep_refreshing())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_refreshing(self) -> None:
        heard = True
        while True:
            await asyncio.sleep(CONFIGS_EVERY if heard else CONFIGS_AGAIN)
            heard = await self.refresh_rules()

    async def _ask_tariff(self, zone_id: str) -> Tariff:
        found = await self._tariffs.get("/tariff-zone-data", TariffZoneData, id=zone_id)
        self._expect(self._tariffs, zone_id, found.id)
        return Tariff(found.price_per_minute, found.price_unlock, found.default_deposit)

    async def _ask_rider(self, user_id: str) -> Rider:
        found = await self._profiles.get("/user-profile", UserProfile, id=user_id)
        self._expect(self._profiles, user_id, found.id)
        return Rider(
            has_subscription=found.has_subscribtion,
            is_trusted=found.trusted,
            current_debt=found.current_debt,
            total_debt=found.total_debt,
        )

    @staticmethod
    def _expect(system: ExternalSystem, asked: str, answered: str) -> None:
        """An answer about another id is not valid."""
        if answered != asked:
            raise Unavailable(system.name, "answered about another one")


def rules_of(configs: Configs, before: Rules) -> Rules:
    """The rules in an answer, field by field.

    A missing field gets the built-in value, and an invalid one keeps its value from `before`.
    """
    coefficients, rules = configs.price_coeff_settings, configs.pricing_rules
    threshold = coefficients if "low_charge_threshold" in coefficients.said else configs
    places: dict[str, tuple[Said, str]] = {
        "surge": (coefficients, "surge"),
        "low_charge_discount": (coefficients, "low_charge_discount"),
        "low_charge_threshold": (threshold, "low_charge_threshold"),
        "deposit_multiplier": (rules, "deposit_multiplier"),
        "deposit_debt_threshold": (rules, "deposit_debt_threshold"),
        "free_ride_seconds": (rules, "free_ride_seconds_threshold"),
    }
    heard = {name: where for name, (where, field) in places.items() if field in where.said}
    values = {name: getattr(heard[name], places[name][1]) for name in heard}
    kept = {name: getattr(before, name) for name, value in values.items() if value is None}
    return Rules(**{**values, **kept})

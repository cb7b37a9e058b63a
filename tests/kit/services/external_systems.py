"""The external systems of rentals within the test's own process: no socket, no waiting.

world = ExternalWorld()
await world.trouble("tariffs", mode="failing")
issuer = world.offer_issuer()
world.ledger()
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
from prometheus_client import CollectorRegistry

from service_orders.domains.rentals.external import Externals
from service_orders.domains.rentals.offer_issuer import PATIENCE, OfferIssuer
from service_orders.domains.rentals.offers import Signer
from service_stubs.bootstrap import build_app
from service_stubs.ledger import Ledger
from service_stubs.trouble import System, Trouble, Troubles
from servicekit.http.app import ServiceApp
from servicekit.http.client import TIMEOUT
from servicekit.observe.metrics import HttpMetrics

KEY = "a-key-that-is-known-to-the-tests-only"


class _Apart(httpx.AsyncBaseTransport):
    """Answers in a task of its own: whoever hangs up is gone at once, as over a wire."""

    def __init__(self, app: ServiceApp) -> None:
        self._inner = httpx.ASGITransport(app, raise_app_exceptions=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answering = asyncio.create_task(self._inner.handle_async_request(request))
        try:
            return await asyncio.shield(answering)
        except asyncio.CancelledError:
            answering.cancel()
            raise


class ExternalWorld:
    """The stand-ins, and the client that reaches them."""

    def __init__(self, *, timeout: float = TIMEOUT) -> None:
        """`timeout` above the usual one is for machines that stand still now and then."""
        app = build_app(Ledger(":memory:"), HttpMetrics(CollectorRegistry()))
        self.http = httpx.AsyncClient(transport=_Apart(app), base_url="http://stubs")
        self._troubles: Troubles = app.state.dependencies.troubles
        self._ledger: Ledger = app.state.dependencies.ledger
        self.externals = Externals(self.http, timeout=timeout)
        self._patience = timeout * PATIENCE

    def offer_issuer(
        self, *keys: str, ttl: timedelta = timedelta(minutes=5), signs: bool = True
    ) -> OfferIssuer:
        """What makes offers from these systems; without `signs` it has no key."""
        signer = Signer(keys or (KEY,)) if signs else None
        return OfferIssuer(self.externals, signer, ttl, self._patience)

    def trouble(self, system: str, *troubles: dict[str, Any], **trouble: Any) -> None:
        """Let a system go wrong, in one way or in several."""
        wanted = [*troubles, trouble] if trouble else list(troubles)
        self._troubles.set(System(system), [Trouble.model_validate(one) for one in wanted])

    def calm(self) -> None:
        """All is well again."""
        self._troubles.clear()

    def ledger(self, rental_id: str = "") -> list[tuple[str, int, str]]:
        """Step, amount and status of every movement of money, in order."""
        found = self._ledger.of_orders([rental_id] if rental_id else [])
        return [(movement.step, movement.amount, movement.status) for movement in found]

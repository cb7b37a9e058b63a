"""The objects that the endpoints of one process share.

`bootstrap` builds them once. This module only names their types: domains import it, and a domain
must not import another one through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

if TYPE_CHECKING:
    from datetime import timedelta
    from uuid import UUID

    from outbox import Work
    from service_orders.domains.rentals.finishing import Finisher
    from service_orders.domains.rentals.models import Rental
    from service_orders.domains.rentals.offer_issuer import OfferIssuer
    from service_orders.domains.restaurants.service import KnownZones
    from servicekit.cache.read_through import ReadThrough
    from servicekit.database.id_allocation import IdBlocks
    from servicekit.http.long_polling import Waiters
    from servicekit.service.rows import Reader, Readers


@dataclass(frozen=True)
class Dependencies:
    """One field for each shared object.

    `readers`, `rentals` and `tickets` read many rows with one statement, so a crowd of readers
    costs few statements. `readers.of(ROWS)` is for any domain; the other two read in their own way.
    """

    work: Work
    waiters: Waiters
    readers: Readers
    booking_ids: IdBlocks
    booking_limit: timedelta
    restaurant_zones: KnownZones
    tickets: ReadThrough[UUID]
    rentals: Reader[UUID, Rental]
    rental_finisher: Finisher
    offer_issuer: OfferIssuer


async def _dependencies(request: Request) -> Dependencies:
    # A coroutine, although it never waits: FastAPI runs a plain function in a thread, one hop each.
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


Deps = Annotated[Dependencies, Depends(_dependencies)]

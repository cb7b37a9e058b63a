"""What endpoints ask for by type; `bootstrap` puts it on the application.

All are coroutines, though none waits: FastAPI sends plain functions to a thread, one hop each.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Protocol
from zoneinfo import ZoneInfo

from fastapi import Depends, Request

import outbox
from servicekit.cache import read_through
from servicekit.http import long_polling


class RestaurantZones(Protocol):
    """Say in which time zone a restaurant is, or None if no such restaurant is known."""

    async def of(self, restaurant_id: int) -> ZoneInfo | None: ...


async def _work(request: Request) -> outbox.Work:
    work: outbox.Work = request.app.state.work
    return work


async def _waiters(request: Request) -> long_polling.Waiters:
    waiters: long_polling.Waiters = request.app.state.waiters
    return waiters


async def _zones(request: Request) -> RestaurantZones:
    zones: RestaurantZones = request.app.state.zones
    return zones


async def _booking_limit(request: Request) -> timedelta:
    limit: timedelta = request.app.state.booking_limit
    return limit


async def _cache(request: Request) -> read_through.Store | None:
    cache: read_through.Store | None = request.app.state.cache
    return cache


Cache = Annotated[read_through.Store | None, Depends(_cache)]
Work = Annotated[outbox.Work, Depends(_work)]
Waiters = Annotated[long_polling.Waiters, Depends(_waiters)]
Zones = Annotated[RestaurantZones, Depends(_zones)]
BookingLimit = Annotated[timedelta, Depends(_booking_limit)]

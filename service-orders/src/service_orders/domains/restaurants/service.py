"""What endpoints of other domains ask about restaurants."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from outbox import Work
from service_orders.domains.restaurants import repository


class KnownZones:
    """The time zones of restaurants. A time zone never changes, so each is read once."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._zones: dict[int, ZoneInfo] = {}

    async def of(self, restaurant_id: int) -> ZoneInfo | None:
        """The time zone of a restaurant; None if the restaurant is not known."""
        if restaurant_id not in self._zones:
            async with self._work.read() as connection:
                found = await repository.ROWS.find(connection, restaurant_id)
            if found is not None:
                self._zones[restaurant_id] = ZoneInfo(found.timezone)
        return self._zones.get(restaurant_id)

"""The refusals of requests for restaurants."""

from __future__ import annotations

from servicekit.service.rows import NotFound


class UnknownRestaurant(NotFound):
    """No event of a restaurant with this id has arrived."""

    noun = "restaurant"

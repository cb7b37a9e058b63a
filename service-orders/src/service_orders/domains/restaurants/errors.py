"""The refusals of requests for restaurants."""

from __future__ import annotations


class UnknownRestaurant(LookupError):
    """No event of a restaurant with this id has arrived."""

    def __init__(self, restaurant_id: int) -> None:
        super().__init__(f"There is no restaurant {restaurant_id}.")

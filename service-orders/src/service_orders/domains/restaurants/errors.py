"""What can be wrong with a request for restaurants."""

from __future__ import annotations


class UnknownRestaurant(LookupError):
    """No restaurant of this id has been told of."""

    def __init__(self, restaurant_id: int) -> None:
        super().__init__(f"There is no restaurant {restaurant_id}.")

"""What can be wrong with a request about bookings."""

from __future__ import annotations


class BookingNotFound(LookupError):
    """There is no booking with this id."""

    def __init__(self, booking_id: int) -> None:
        super().__init__(f"There is no booking {booking_id}.")


class RestaurantNotFound(LookupError):
    """Nobody can book at a restaurant that is not known."""

    def __init__(self, restaurant_id: int) -> None:
        super().__init__(f"There is no restaurant {restaurant_id}.")

"""The refusals of requests about bookings."""

from __future__ import annotations

from servicekit.service.rows import NotFound


class BookingNotFound(NotFound):
    noun = "booking"


class RestaurantNotFound(NotFound):
    """The restaurant of a booking is not known."""

    noun = "restaurant"

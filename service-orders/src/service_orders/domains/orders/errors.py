"""The refusals of requests about orders."""

from __future__ import annotations

from servicekit.service.rows import NotFound


class OrderNotFound(NotFound):
    noun = "order"


class TooMany(ValueError):
    """The lines of one product add up to more than an order may hold."""

    def __init__(self, product_id: str, limit: int) -> None:
        super().__init__(f"The lines of {product_id} add up to more than {limit:,}.")
        self.errors = [{"field": "products", "message": f"add up to more than {limit:,} of one"}]

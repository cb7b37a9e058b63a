"""What can be wrong with a request about orders."""

from __future__ import annotations

from uuid import UUID


class OrderNotFound(LookupError):
    """There is no order with this id."""

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"There is no order {order_id}.")


class TooMany(ValueError):
    """The lines of one product add up to more than an order may hold."""

    def __init__(self, product_id: str, limit: int) -> None:
        super().__init__(f"The lines of {product_id} add up to more than {limit:,}.")
        self.errors = [{"field": "products", "message": f"add up to more than {limit:,} of one"}]
